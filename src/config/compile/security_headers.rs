//! `plugins.securityHeaders:`

use std::time::Duration;

use super::Compiler;
use crate::config::file::{self, OrOff, Switch};
use crate::config::located::Located;
use crate::config::model::{Hsts, SecurityHeaders};
use crate::config::units::{
    ContentTypeOptions, CrossDomainPolicies, FieldText, Frames, OpenerPolicy, Period, ReferrerPolicy,
};
use crate::plugin::security_headers::names_ancestors;

/// What the list of those who know it beforehand asks for (hstspreload.org).
const PRELOADED: Duration = Duration::from_secs(31_536_000);

impl Compiler<'_> {
    /// What the block at `path` has browsers told; `None`: nothing.
    pub(super) fn security_headers(
        &mut self,
        written: Option<&Switch<file::SecurityHeaders>>,
        path: &str,
    ) -> Option<SecurityHeaders> {
        let Switch::On(block) = written? else { return None };
        let content_security_policy = block.content_security_policy.as_ref().and_then(|policy| policy.0.clone());
        Some(SecurityHeaders {
            r#override: block.r#override,
            hsts: self.hsts(block.hsts.as_ref(), &format!("{path}.hsts")),
            content_type_options: or(&block.content_type_options, ContentTypeOptions("nosniff")),
            frames: self.frames(block, content_security_policy.as_ref(), &format!("{path}.frames")),
            referrer_policy: or(&block.referrer_policy, ReferrerPolicy("no-referrer")),
            cross_origin_opener_policy: or(&block.cross_origin_opener_policy, OpenerPolicy("same-origin")),
            permitted_cross_domain_policies: or(&block.permitted_cross_domain_policies, CrossDomainPolicies("none")),
            content_security_policy,
            permissions_policy: block.permissions_policy.as_ref().and_then(|policy| policy.0.clone()),
            cross_origin_resource_policy: block.cross_origin_resource_policy.and_then(|policy| policy.0),
            cross_origin_embedder_policy: block.cross_origin_embedder_policy.and_then(|policy| policy.0),
        })
    }

    fn hsts(&mut self, written: Option<&Located<Switch<file::Hsts>>>, path: &str) -> Option<Hsts> {
        let standard = file::Hsts::default();
        let (at, block) = match written {
            Some(Located { value: Switch::Off, .. }) => return None,
            Some(Located { value: Switch::On(block), at, .. }) => (*at, block),
            None => (super::start(), &standard),
        };
        let max_age = block.max_age.map_or(PRELOADED, |Period(age)| age);
        if block.preload && (max_age < PRELOADED || !block.include_sub_domains) {
            let message =
                "preload asks for a maxAge of 365d at least and includeSubDomains: true; write both, or leave it out";
            self.error(at, path, message);
        }
        let file::Hsts { include_sub_domains, preload, always, .. } = *block;
        Some(Hsts { max_age, include_sub_domains, preload, always })
    }

    fn frames(&mut self, block: &file::SecurityHeaders, policy: Option<&FieldText>, path: &str) -> Option<Frames> {
        let in_policy = policy.is_some_and(|policy| names_ancestors(policy.as_str()));
        match &block.frames {
            Some(frames) => {
                if in_policy && frames.0.is_some() {
                    let message = "contentSecurityPolicy has frame-ancestors, too; write one of the two";
                    self.error(frames.at, path, message);
                }
                frames.0
            }
            None => (!in_policy).then_some(Frames("deny")),
        }
    }
}

fn or<T: Copy>(written: &Option<OrOff<T>>, standard: T) -> Option<T> {
    written.as_ref().map_or(Some(standard), |written| written.0)
}
