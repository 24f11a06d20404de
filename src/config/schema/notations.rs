//! The small notations: durations, sizes, names, addresses.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::config::file::{LogFormat, Network, Positive};
use crate::config::units::{
    ContentTypeOptions, CookieName, Count, CrossDomainPolicies, EmbedderPolicy, Factor, FieldName, FieldText, Frames,
    GrpcStatus, HostHeader, ListenAddress, MediaRange, NameServer, OpenerPolicy, Origin, Period, Port, Prefix, Rate,
    ReferrerPolicy, Repeatable, ResourcePolicy, RetryOn, RoutePath, ScopeName, Secret, Sha256, Size, StatusRange,
    TargetUrl, Threads, UserId, WebOrigin, Weight, Window,
};
use crate::ratio::Ratio;
use crate::routing::answer::{FinalStatus, RedirectStatus};
use crate::routing::elsewhere::Elsewhere;
use crate::routing::host::HostPattern;
use crate::routing::methods::Methods;
use crate::routing::pattern::Pattern;

/// How tokens may be signed, of which the type that is read is another crate's.
pub struct Algorithm;

macro_rules! notations {
    ($($type:ty, $name:literal, $description:literal, $form:tt;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!($form);
                schema.insert("description".to_owned(), $description.into());
                schema
            }
        }
    )*};
}
notations! {
    Period, "Duration", "A duration: `60` (seconds), `250ms`, `60s`, `5m`, `1h` or `7d`.",
        { "type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+(ms|s|m|h|d)?$" };
    Positive, "PositiveDuration", "A duration longer than nothing: `60` (seconds), `250ms`, `60s`, `5m`, `1h` or `7d`.",
        { "type": ["integer", "string"], "minimum": 1, "pattern": "^0*[1-9][0-9]*(ms|s|m|h|d)?$" };
    Window, "Window", "How long a window is: `60` (seconds), `250ms`, `5m`, `1h` or `1d`, from `100ms` to `366d`.",
        { "type": ["integer", "string"], "minimum": 1, "pattern": "^0*[1-9][0-9]*(ms|s|m|h|d)?$" };
    Size, "Size", "An amount of bytes: `65536`, `64KiB`, `10MiB` or `1GiB`; or `kB`, `MB` and `GB`, of a thousand each.",
        { "type": ["integer", "string"], "minimum": 0, "pattern": r"^[0-9]+\s*(GiB|MiB|KiB|GB|MB|kB|B)?$" };
    Rate, "ByteRate", "Bytes a second, more than 0: `500`, `500B` or `10KiB`.",
        { "type": ["integer", "string"], "minimum": 1, "pattern": r"^0*[1-9][0-9]*\s*(GiB|MiB|KiB|GB|MB|kB|B)?$" };
    Count, "Count", "A whole number from 1 to 4294967295.",
        { "type": ["integer", "string"], "minimum": 1, "maximum": 4_294_967_295_u32, "pattern": r"^\+?0*[1-9][0-9]*$" };
    Weight, "Weight", "A whole number from 0 to 4294967295.",
        { "type": ["integer", "string"], "minimum": 0, "maximum": 4_294_967_295_u32, "pattern": r"^\+?[0-9]+$" };
    Port, "Port", "A port from 1 to 65535.",
        { "type": ["integer", "string"], "minimum": 1, "maximum": 65_535, "pattern": r"^\+?0*[1-9][0-9]{0,4}$" };
    Threads, "Threads", "A whole number from 1 to 1024.",
        { "type": ["integer", "string"], "minimum": 1, "maximum": 1024, "pattern": r"^\+?0*[1-9][0-9]{0,3}$" };
    Prefix, "Bits", "How many bits of an address: 1 to 32 of IPv4, 1 to 128 of IPv6.",
        { "type": ["integer", "string"], "minimum": 1, "maximum": 128, "pattern": r"^\+?0*[1-9][0-9]{0,2}$" };
    Ratio, "Share", "A share from 0% to 100%: `20%`, `0.5%`, or `0.2`.",
        { "type": ["number", "string"], "minimum": 0, "maximum": 1, "pattern": r"^[0-9.]+\s*%?$" };
    Factor, "Factor", "A number from 1 to 10, such as `2` or `1.5`.",
        { "type": ["number", "string"], "minimum": 1, "maximum": 10, "pattern": r"^\+?[0-9.]+([eE][-+]?[0-9]+)?$" };
    StatusRange, "Statuses", "A status such as `503`, or a range such as `500-599`.",
        { "type": ["integer", "string"], "minimum": 100, "maximum": 599, "pattern": r"^\s*\+?[1-5][0-9]{2}\s*(-\s*\+?[1-5][0-9]{2}\s*)?$" };
    RetryOn, "RetryOn", "`connect`: no connection came about; `reset`: it broke before there was an answer; `timeout`: there was no answer in time; a status such as `503` or a range such as `502-504`, from 400 on.",
        { "anyOf": [
            { "type": "string", "enum": ["connect", "reset", "timeout"] },
            { "type": ["integer", "string"], "minimum": 400, "maximum": 599, "pattern": r"^\s*\+?[45][0-9]{2}\s*(-\s*\+?[45][0-9]{2}\s*)?$" },
        ] };
    Repeatable, "RepeatableMethod", "A method that may be sent twice.",
        { "type": "string", "enum": ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND", "QUERY", "REPORT", "SEARCH"] };
    GrpcStatus, "GrpcStatus", "A failing status of gRPC, by its name or number.",
        { "anyOf": [
            { "type": "string", "enum": [
                "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
                "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
                "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
            ] },
            { "type": ["integer", "string"], "minimum": 1, "maximum": 16, "pattern": r"^\+?0*([1-9]|1[0-6])$" },
        ] };
    RedirectStatus, "RedirectStatus", "302, or 307 to keep the method; for good 301 or 308; 303 for `GET`.",
        { "enum": [301, 302, 303, 307, 308, "301", "302", "303", "307", "308"] };
    FinalStatus, "FinalStatus", "A status of an answer, from 200 to 599.",
        { "type": ["integer", "string"], "minimum": 200, "maximum": 599, "pattern": r"^\+?0*[2-5][0-9]{2}$" };
    ListenAddress, "ListenAddress", "An address to listen on: `0.0.0.0:8000`, `[::]:8000` or `localhost:8000`; port 0 is any free one.",
        { "type": "string", "pattern": r"^(localhost|[0-9.]+|\[[0-9A-Fa-f:.%]+\]):\+?[0-9]+$" };
    NameServer, "NameServer", "A server of DNS: `10.0.0.2`, `10.0.0.2:53` or `[2001:db8::53]:53`.",
        { "type": "string", "pattern": r"^([0-9.]+(:[0-9]+)?|[0-9A-Fa-f:.]+|\[[0-9A-Fa-f:.%]+\]:[0-9]+)$" };
    Network, "Network", "A network such as `10.0.0.0/8` or `2001:db8::/32`, or an address, which is a network of one.",
        { "type": "string", "pattern": "^[0-9A-Fa-f:.]+(/[0-9]+)?$" };
    TargetUrl, "TargetUrl", "`http://HOST:PORT`; or `https`, `h2` or `h2c` in place of `http`. The port may be left out: 80, with TLS 443.",
        { "type": "string", "pattern": r"^([Hh][Tt][Tt][Pp][Ss]?|[Hh]2[Cc]?)://[^?#]+$" };
    Origin, "Origin", "`http://HOST:PORT`; or `https`, `h2` or `h2c` in place of `http`. Or what knows targets: `dns://HOST:PORT`, `dns+srv://_http._tcp.NAME`, both also with `+https`, `+h2` or `+h2c` before `://`, or `file://PATH`.",
        { "type": "string", "pattern": r"^(([Hh][Tt][Tt][Pp][Ss]?|[Hh]2[Cc]?)://[^?#]+|dns(\+srv)?(\+[A-Za-z0-9]+)?://.+|file://.+)$" };
    RoutePath, "Path", "A path without `?`, `#` or `*`: `/users` takes `/users` and all below it.",
        { "type": "string", "pattern": "^/[^?#*]*$" };
    HostPattern, "Host", "A host such as `api.example.com`, or `*.example.com` for all below it.",
        { "type": "string", "pattern": r"^(\*\.)?[^*/?#\s]+$" };
    HostHeader, "HostHeader", "`client`: that of the client; `target`: that of the target's URL; or a host such as `api.example.com`.",
        { "type": "string", "pattern": r"^[^*/?#@\s]+$" };
    Methods, "Method", "A method in capitals. `CONNECT` and `TRACE` are never forwarded.",
        { "anyOf": [
            { "type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] },
            { "type": "string", "pattern": "^[A-Z]+(-[A-Z]+)?$" },
        ] };
    Elsewhere, "Elsewhere", "A URL such as `https://www.example.com/new`, or a path of the same host such as `/new`.",
        { "type": "string", "pattern": r"^(/([^/].*)?|[Hh][Tt][Tt][Pp][Ss]?://.+)$" };
    Pattern, "RegularExpression", "A regular expression without look-around and backreferences.", { "type": "string" };
    FieldName, "FieldName", "The name of a header field, such as `x-tenant`.",
        { "type": ["string", "number"], "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" };
    CookieName, "CookieName", "The name of a cookie, such as `session`.",
        { "type": ["string", "number"], "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" };
    ScopeName, "Name", "A name: up to 64 letters, digits, `.`, `_` and `-`.",
        { "type": ["string", "number"], "pattern": "^[A-Za-z0-9._-]{1,64}$" };
    FieldText, "FieldText", "The value of a header field: printable ASCII without spaces around it.",
        { "type": ["string", "number", "boolean"], "minLength": 1 };
    UserId, "UserId", "A user as `x-user-id` names it: text without control characters or spaces around it.",
        { "type": ["string", "number", "boolean"], "minLength": 1 };
    Sha256, "Sha256", "A SHA-256 as 64 hexadecimal digits: `printf %s KEY | sha256sum` shows it.",
        { "type": ["string", "number"], "pattern": "^[0-9A-Fa-f]{64}$" };
    Secret, "Secret", "A secret, which is never shown. Better not written here: `${VAR}` is a variable of the environment.",
        { "type": "string" };
    LogFormat, "LogFormat", "`text`: `[GET] http://a:1/users → 200 (3ms) [id]`; `json`: one JSON object a line; or a form of one's own such as `\"{time} {client} {method} {path} {status}\"`.",
        { "anyOf": [{ "type": "string", "enum": ["text", "json"] }, { "type": "string", "pattern": "[{}]" }] };
    MediaRange, "MediaRange", "Media types: `application/json`, `text/*` or `application/*+json`.",
        { "type": "string", "pattern": r"^[^/*\s]+/(\*(\+[^*\s]+)?|[^*\s]+)$" };
    WebOrigin, "WebOrigin", "The origin of pages: `https://app.example.com`, `https://*.example.com` for all names below, `\"*\"` for everybody's.",
        { "type": "string", "pattern": r"^(\*|null|[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\\\s]+)$" };
    Algorithm, "Algorithm", "How a token is signed (RFC 7518, section 3.1; RFC 8037).",
        { "type": "string", "enum": [
            "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
        ] };
    ContentTypeOptions, "ContentTypeOptions", "`X-Content-Type-Options`.", { "type": "string", "enum": ["nosniff"] };
    Frames, "Frames", "In whose frames a page may be shown.", { "type": "string", "enum": ["deny", "sameOrigin"] };
    ReferrerPolicy, "ReferrerPolicy", "`Referrer-Policy`.", { "type": "string", "enum": [
        "no-referrer", "no-referrer-when-downgrade", "origin", "origin-when-cross-origin", "same-origin", "strict-origin",
        "strict-origin-when-cross-origin", "unsafe-url",
    ] };
    OpenerPolicy, "OpenerPolicy", "`Cross-Origin-Opener-Policy`.", { "type": "string", "enum": [
        "same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none",
    ] };
    EmbedderPolicy, "EmbedderPolicy", "`Cross-Origin-Embedder-Policy`.",
        { "type": "string", "enum": ["require-corp", "credentialless", "unsafe-none"] };
    ResourcePolicy, "ResourcePolicy", "`Cross-Origin-Resource-Policy`.",
        { "type": "string", "enum": ["same-origin", "same-site", "cross-origin"] };
    CrossDomainPolicies, "CrossDomainPolicies", "`X-Permitted-Cross-Domain-Policies`.", { "type": "string", "enum": [
        "none", "none-this-response", "master-only", "by-content-type", "all",
    ] };
}
