//! Spans, as a collector gets them: by OTLP over HTTP, read with the protocol's own definitions.

use std::collections::HashMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::support::upstream::Received;
use crate::support::{Gateway, Upstream, eventually, gateway, nobody, token};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

/// All spans that have come, and the name of the service that sent them.
fn spans(collector: &Upstream) -> (Vec<Span>, Vec<String>) {
    let (mut spans, mut services) = (Vec::new(), Vec::new());
    for Received { line, body, .. } in collector.received() {
        assert_eq!(line, "POST /v1/traces HTTP/1.1");
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        for group in request.resource_spans {
            let named = group.resource.iter().flat_map(|resource| &resource.attributes);
            services.extend(
                named
                    .filter(|pair| pair.key == "service.name")
                    .map(|pair| text(pair.value.clone().and_then(|value| value.value))),
            );
            spans.extend(group.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    (spans, services)
}

fn text(value: Option<Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(word)) => word.to_string(),
        other => format!("{other:?}"),
    }
}

fn attributes(span: &Span) -> HashMap<String, String> {
    span.attributes
        .iter()
        .map(|pair| (pair.key.clone(), text(pair.value.clone().and_then(|value| value.value))))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tracing(collector: &Upstream, more: &str, target: &str, plugins: &str) -> Gateway {
    gateway(format!(
        "tracing: {{ endpoint: {}/v1/traces, serviceName: edge, headers: {{ x-key: for-the-collector }}{more} }}\nroutes:\n  \
         - {{ path: /users, targets: {target}, plugins: {{ {plugins} }} }}\n",
        collector.url(),
    ))
}

#[test]
fn a_trace_goes_on_through_the_gateway_with_a_span_for_each_step() {
    let (collector, upstream) = (Upstream::start(), Upstream::start());
    let targets = format!("['http://{}', {}]", nobody(), upstream.url());
    let mut gateway = tracing(&collector, "", &targets, "auth: true, rateLimit: { max: 10, window: 60 }");
    let bearer = format!("Bearer {}", token("alice"));
    let parent = format!("{PARENT}-00");
    let fields = [
        ("Authorization", bearer.as_str()),
        ("traceparent", &parent),
        ("tracestate", "v=1"),
        ("X-Request-ID", "traced"),
    ];
    assert_eq!(gateway.request("GET", "/users/7?token=hidden", &fields).status, 200);
    gateway.get("/nowhere");
    gateway.signal(libc::SIGTERM);
    gateway.wait();

    let (spans, services) = spans(&collector);
    assert_eq!(services.first().map(String::as_str), Some("edge"));
    assert!(collector.received().iter().all(|batch| batch.header("x-key") == Some("for-the-collector")));
    let root = spans.iter().find(|span| span.name == "GET /users").unwrap();
    assert_eq!(
        (hex(&root.trace_id), hex(&root.parent_span_id)),
        ("4bf92f3577b34da6a3ce929d0e0e4736".into(), "00f067aa0ba902b7".into())
    );
    let told = attributes(root);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/users/7"),
        ("url.scheme", "http"),
        ("http.route", "/users"),
        ("http.response.status_code", "200"),
        ("client.address", "127.0.0.1"),
        ("aegis.request_id", "traced"),
        ("aegis.reason", "retried"),
    ] {
        assert_eq!(told.get(name).map(String::as_str), Some(value), "{told:?}");
    }
    let parts: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id == root.span_id).collect();
    let names: Vec<&str> = parts.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["auth", "rateLimit", "GET", "GET"]);
    for span in &parts {
        assert_eq!(span.trace_id, root.trace_id);
        let within = root.start_time_unix_nano <= span.start_time_unix_nano
            && span.end_time_unix_nano <= root.end_time_unix_nano;
        assert!(within && span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?} in {root:?}");
    }
    assert!(attributes(parts[2])["error.type"].starts_with("cannot connect"), "{parts:?}");
    assert_eq!(attributes(parts[3])["http.request.resend_count"], "1");
    // The target is told of the attempt that brought it the request.
    let received = upstream.only();
    let expected = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", hex(&parts[3].span_id));
    assert_eq!((received.header("traceparent"), received.header("tracestate")), (Some(expected.as_str()), Some("v=1")));
    let lost = spans
        .iter()
        .find(|span| attributes(span).get("http.response.status_code").is_some_and(|status| status == "404"))
        .unwrap();
    assert_eq!((lost.name.as_str(), lost.parent_span_id.len()), ("GET", 0), "it begins a trace");
    assert!(!format!("{spans:?}").contains("hidden") && !format!("{spans:?}").contains(&bearer));
}

#[test]
fn whoever_is_trusted_decides_what_is_recorded_and_nobody_else() {
    for (trusted, sample, flag, recorded) in [
        ("trustedProxies: 127.0.0.1\n", "0%", "01", true),
        ("trustedProxies: 127.0.0.1\n", "100%", "00", false),
        ("", "0%", "01", false),
        ("", "100%", "00", true),
    ] {
        let (collector, upstream) = (Upstream::start(), Upstream::start());
        let mut gateway = gateway(format!(
            "{trusted}tracing: {{ endpoint: {}/v1/traces, sample: {sample} }}\nroutes: [{{ path: /, target: {} }}]\n",
            collector.url(),
            upstream.url(),
        ));
        gateway.request("GET", "/", &[("traceparent", &format!("{PARENT}-{flag}"))]);
        gateway.request("GET", "/", &[("traceparent", "00-malformed"), ("tracestate", "v=1")]);
        gateway.signal(libc::SIGTERM);
        gateway.wait();
        let (spans, _) = spans(&collector);
        assert_eq!(
            spans.iter().any(|span| hex(&span.parent_span_id) == "00f067aa0ba902b7"),
            recorded,
            "{trusted}{sample} {flag}"
        );
        let [first, second] = upstream.received().try_into().unwrap();
        let sent = first.header("traceparent").unwrap();
        assert!(sent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{sent}");
        assert!(sent.ends_with(if recorded { "-01" } else { "-00" }), "{sent}");
        let anew = second.header("traceparent").unwrap();
        assert!(anew.len() == 55 && !anew.contains("4bf92f35"), "{anew}");
        assert_eq!(second.header("tracestate"), None, "it is of a trace that nobody knows");
    }
}

#[test]
fn without_a_collector_requests_go_on_and_it_is_told_once() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "tracing: {{ endpoint: 'http://{}/v1/traces' }}\nroutes: [{{ path: /, target: {} }}]\n",
        nobody(),
        upstream.url(),
    ));
    for _ in 0..50 {
        assert_eq!(gateway.get("/").status, 200);
    }
    gateway.said("spans are lost");
    eventually("the target to have them", || (upstream.received().len() == 50).then_some(()));
    let off = crate::support::over(&[upstream.url()], "");
    off.request("GET", "/", &[("traceparent", "as-it-is")]);
    assert_eq!(
        upstream.received().last().and_then(|request| request.header("traceparent").map(str::to_owned)).as_deref(),
        Some("as-it-is")
    );
}
