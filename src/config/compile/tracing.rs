//! `tracing:`

use http::{HeaderName, HeaderValue};

use super::Compiler;
use crate::config::file;
use crate::config::located::Located;
use crate::config::model::Tracing;
use crate::ratio::Ratio;

impl Compiler<'_> {
    pub(super) fn tracing(&mut self, written: Option<&Located<file::Tracing>>) -> Option<Tracing> {
        let file::Tracing { endpoint, sample, headers, service_name } = &written?.value;
        let mut fields = Vec::new();
        for (name, value) in headers {
            let path = format!("tracing.headers.{name}");
            let known = HeaderName::from_bytes(name.as_bytes());
            match (known, HeaderValue::from_str(value.value.reveal())) {
                (Ok(name), Ok(_)) => fields.push((name, value.value.clone())),
                (Err(_), _) => self.error(value.at, path, "no name of a header field; write one such as authorization"),
                (_, Err(_)) => {
                    self.error(value.at, path, "no value of a header field: control characters have no place in it")
                }
            }
        }
        Some(Tracing {
            endpoint: self.service(endpoint.at, "tracing.endpoint", &endpoint.value)?,
            sample: sample.unwrap_or(Ratio::percent(100)),
            headers: fields,
            service_name: service_name.clone().unwrap_or_else(|| "aegis".to_owned()),
        })
    }
}
