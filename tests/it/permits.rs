//! What a route asks of tokens, and where it looks for them.

use serde_json::{Value, json};

use crate::support::{Gateway, Response, Upstream, gateway, signed};

/// A gateway with a route that asks for what `policy` says.
fn with(upstream: &Upstream, policy: &str) -> Gateway {
    let auth = "auth: { jwt: { rolesClaim: realm_access.roles, claimsToHeaders: { tenant: x-tenant } } }";
    let route = format!("{{ path: /, target: {}, plugins: {{ auth: {policy} }} }}", upstream.url());
    gateway(format!("{auth}\nroutes: [{route}]\n"))
}

fn get(gateway: &Gateway, claims: &Value) -> Response {
    gateway.request("GET", "/", &[("Authorization", &format!("Bearer {}", signed(claims)))])
}

#[test]
fn who_lacks_a_scope_or_a_role_is_told_which_scopes_are_needed() {
    let upstream = Upstream::start();
    let gateway = with(&upstream, "{ requireScopes: [read, write], requireRoles: admin }");
    let good = json!({ "sub": "u", "scope": "write x read", "realm_access": { "roles": ["admin", "x"] } });
    assert_eq!(get(&gateway, &good).status, 200);
    for (claim, value) in [("scope", json!("read")), ("realm_access", json!({ "roles": [] })), ("scope", json!(null))] {
        let mut bad = good.clone();
        bad[claim] = value;
        let refused = get(&gateway, &bad);
        refused.is_problem(403, "insufficient_scope");
        let challenge = "Bearer realm=\"aegis\", error=\"insufficient_scope\", scope=\"read write\"";
        assert_eq!(refused.header("www-authenticate"), Some(challenge));
    }
    gateway.get("/").is_problem(401, "token_missing");
    let by_role = with(&upstream, "{ requireRoles: admin }");
    let challenge = "Bearer realm=\"aegis\", error=\"insufficient_scope\"";
    assert_eq!(get(&by_role, &json!({ "sub": "u" })).header("www-authenticate"), Some(challenge));
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn an_optional_token_may_be_absent_and_never_wrong() {
    let upstream = Upstream::start();
    let gateway = with(&upstream, "{ optional: true }");
    assert_eq!(gateway.request("GET", "/", &[("X-User-Id", "admin"), ("X-Tenant", "gold")]).status, 200);
    assert_eq!(get(&gateway, &json!({ "sub": "u", "tenant": "gold" })).status, 200);
    get(&gateway, &json!({ "sub": "u", "exp": 1 })).is_problem(401, "token_expired");
    get(&gateway, &json!({ "sub": "u", "tenant": "a\nb" })).is_problem(401, "token_invalid");
    gateway.request("GET", "/", &[("Authorization", "Bearer x")]).is_problem(401, "token_invalid");
    let seen: Vec<_> = upstream.received();
    assert_eq!((seen[0].header("x-user-id"), seen[0].header("x-tenant")), (None, None));
    assert_eq!((seen[1].header("x-user-id"), seen[1].header("x-tenant")), (Some("u"), Some("gold")));
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_token_in_the_query_goes_nowhere_else() {
    let upstream = Upstream::start();
    let gateway = with(&upstream, "{ tokenFrom: { query: access_token } }");
    let token = signed(&json!({ "sub": "u" }));
    for (query, left) in
        [(format!("?access_token={token}"), ""), (format!("?a=%20&access_token={token}&b"), "?a=%20&b")]
    {
        assert_eq!(gateway.get(&format!("/x{query}")).status, 200);
        assert_eq!(upstream.received().last().unwrap().path(), format!("/x{left}"));
    }
    gateway.get(&format!("/?access_token={token}&access_token={token}")).is_problem(401, "token_invalid");
    gateway.get("/?access_token=x").is_problem(401, "token_invalid");
    get(&gateway, &json!({ "sub": "u" })).is_problem(401, "token_missing");
    gateway.log_line("token_missing");
    assert!(!gateway.stdout().contains(&token) && !gateway.stderr().contains(&token));
}

#[test]
fn a_token_is_shown_to_the_upstream_unless_the_route_says_no() {
    let token = signed(&json!({ "sub": "u" }));
    let bearer = format!("Bearer {token}");
    for (from, field, value, left) in [
        ("header", "authorization", bearer.clone(), None),
        ("{ header: X-Token }", "x-token", token.clone(), None),
        ("{ cookie: sid }", "cookie", format!("a=1; sid={token}; b=2"), Some("a=1; b=2")),
        ("{ cookie: sid }", "cookie", format!("sid={token}"), None),
    ] {
        let upstream = Upstream::start();
        for (forward, seen) in [(true, Some(value.as_str())), (false, left)] {
            let gateway = with(&upstream, &format!("{{ tokenFrom: {from}, forwardToken: {forward} }}"));
            assert_eq!(gateway.request("GET", "/", &[(field, &value)]).status, 200);
            let received = upstream.received().pop().unwrap();
            assert_eq!((received.header(field), received.header("x-user-id")), (seen, Some("u")), "{from}");
        }
    }
}
