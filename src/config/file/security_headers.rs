//! `plugins.securityHeaders:`

use super::words::{Block, OrOff, Switch};
use crate::config::located::Located;
use crate::config::units::{
    ContentTypeOptions, CrossDomainPolicies, EmbedderPolicy, FieldText, Frames, OpenerPolicy, Period, ReferrerPolicy,
    ResourcePolicy,
};

/// `plugins.securityHeaders:` as a block.
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "true, or a block such as { frames: sameOrigin }")]
pub struct SecurityHeaders {
    /// Whether what an upstream says of these is replaced. Default: `false`.
    #[serde(default)]
    pub r#override: bool,
    /// That the site is for https only (`Strict-Transport-Security`): `true`, a block, or `off`. Default: `true`.
    pub hsts: Option<Located<Switch<Hsts>>>,
    /// `X-Content-Type-Options`, or `off`. Default: `nosniff`.
    pub content_type_options: Option<OrOff<ContentTypeOptions>>,
    /// In whose frames a page may be shown, or `off`. Default: `deny`, unless `contentSecurityPolicy` has
    /// `frame-ancestors`.
    pub frames: Option<Located<OrOff<Frames>>>,
    /// `Referrer-Policy`, or `off`. Default: `no-referrer`.
    pub referrer_policy: Option<OrOff<ReferrerPolicy>>,
    /// `Cross-Origin-Opener-Policy`, or `off`. Default: `same-origin`.
    pub cross_origin_opener_policy: Option<OrOff<OpenerPolicy>>,
    /// `X-Permitted-Cross-Domain-Policies`, or `off`. Default: `none`.
    pub permitted_cross_domain_policies: Option<OrOff<CrossDomainPolicies>>,
    /// `Content-Security-Policy`, or `off`. Default: `off`, but for what `frames` says.
    pub content_security_policy: Option<Located<OrOff<FieldText>>>,
    /// `Permissions-Policy`, or `off`. Default: `off`.
    pub permissions_policy: Option<OrOff<FieldText>>,
    /// `Cross-Origin-Resource-Policy`, or `off`. Default: `off`.
    pub cross_origin_resource_policy: Option<OrOff<ResourcePolicy>>,
    /// `Cross-Origin-Embedder-Policy`, or `off`. Default: `off`.
    pub cross_origin_embedder_policy: Option<OrOff<EmbedderPolicy>>,
}

impl Block for SecurityHeaders {
    const ON: Option<fn() -> Self> = Some(SecurityHeaders::default);
    const EXPECTED: &'static str = "true, off, or a block such as { frames: sameOrigin }";
}

/// `hsts:` as a block.
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "true, or a block such as { maxAge: 365d }")]
pub struct Hsts {
    /// How long browsers remember it. Default: `365d`.
    pub max_age: Option<Period>,
    /// Whether it goes for all names below, too. Default: `false`.
    #[serde(default)]
    pub include_sub_domains: bool,
    /// Whether browsers may come to know it beforehand; needs `includeSubDomains` and 365d. Default: `false`.
    #[serde(default)]
    pub preload: bool,
    /// Whether it is said over http, too, since somebody in front speaks https who does not say so. Default: `false`.
    #[serde(default)]
    pub always: bool,
}

impl Block for Hsts {
    const ON: Option<fn() -> Self> = Some(Hsts::default);
    const EXPECTED: &'static str = "true, off, or a block such as { maxAge: 365d }";
}
