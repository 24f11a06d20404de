//! `plugins.securityHeaders:`

use std::time::Duration;

use serde::Serialize;

use super::{or_off, period};
use crate::config::units::{
    ContentTypeOptions, CrossDomainPolicies, EmbedderPolicy, FieldText, Frames, OpenerPolicy, ReferrerPolicy,
    ResourcePolicy,
};

/// What browsers are told for the sake of security; `None`: nothing of that.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityHeaders {
    /// Whether what an upstream says of these is replaced.
    pub r#override: bool,
    /// That the site is for https only.
    #[serde(serialize_with = "or_off")]
    pub hsts: Option<Hsts>,
    /// `X-Content-Type-Options`.
    #[serde(serialize_with = "or_off")]
    pub content_type_options: Option<ContentTypeOptions>,
    /// In whose frames a page may be shown.
    #[serde(serialize_with = "or_off")]
    pub frames: Option<Frames>,
    /// `Referrer-Policy`.
    #[serde(serialize_with = "or_off")]
    pub referrer_policy: Option<ReferrerPolicy>,
    /// `Cross-Origin-Opener-Policy`.
    #[serde(serialize_with = "or_off")]
    pub cross_origin_opener_policy: Option<OpenerPolicy>,
    /// `X-Permitted-Cross-Domain-Policies`.
    #[serde(serialize_with = "or_off")]
    pub permitted_cross_domain_policies: Option<CrossDomainPolicies>,
    /// `Content-Security-Policy`. One that names `frame-ancestors` leaves no `frames`.
    #[serde(serialize_with = "or_off")]
    pub content_security_policy: Option<FieldText>,
    /// `Permissions-Policy`.
    #[serde(serialize_with = "or_off")]
    pub permissions_policy: Option<FieldText>,
    /// `Cross-Origin-Resource-Policy`.
    #[serde(serialize_with = "or_off")]
    pub cross_origin_resource_policy: Option<ResourcePolicy>,
    /// `Cross-Origin-Embedder-Policy`.
    #[serde(serialize_with = "or_off")]
    pub cross_origin_embedder_policy: Option<EmbedderPolicy>,
}

/// `Strict-Transport-Security` (RFC 6797).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hsts {
    /// How long browsers remember it.
    #[serde(serialize_with = "period")]
    pub max_age: Duration,
    /// Whether it goes for all names below, too.
    pub include_sub_domains: bool,
    /// Whether browsers may come to know it beforehand.
    pub preload: bool,
    /// Whether it is said over http, too.
    pub always: bool,
}
