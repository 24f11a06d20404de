//! Problem documents (RFC 9457): what every answer says that is none of an upstream's.

use http::StatusCode;
use serde::Serialize;

/// Their media type.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, for programs and for people.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'p> {
    /// The status of the answer.
    pub status: StatusCode,
    /// A stable word for programs.
    pub code: &'p str,
    /// A sentence for people.
    pub detail: &'p str,
    /// The path that was asked for, where that helps.
    pub instance: Option<&'p str>,
    /// The id of the request, if it has one.
    pub request_id: Option<&'p str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'p> {
    r#type: String,
    title: &'p str,
    status: u16,
    detail: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'p str>,
    code: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'p str>,
}

impl Problem<'_> {
    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let &Problem { status, code, detail, instance, request_id } = self;
        let document = Document {
            r#type: format!("urn:aegis:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail,
            instance,
            code,
            request_id,
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        let (status, code, detail) = (StatusCode::FORBIDDEN, "cross_site", "Not from there.");
        let mut problem = Problem { status, code, detail, instance: None, request_id: None };
        let text = |problem: &Problem<'_>| String::from_utf8(problem.to_json()).expect("UTF-8");
        let begin =
            r#"{"type":"urn:aegis:problem:cross_site","title":"Forbidden","status":403,"detail":"Not from there.","#;
        assert_eq!(text(&problem), format!(r#"{begin}"code":"cross_site"}}"#));
        (problem.instance, problem.request_id) = (Some("/\"a"), Some("r"));
        assert_eq!(text(&problem), format!(r#"{begin}"instance":"/\"a","code":"cross_site","requestId":"r"}}"#));
    }
}
