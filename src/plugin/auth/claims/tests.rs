use serde_json::json;

#[test]
fn what_a_token_may_allow_has_a_name() {
    let names = [Grant::Scope("read".into()), Grant::Role("admin".into())].map(|grant| grant.to_string());
    assert_eq!(names, ["scope read", "role admin"]);
}

use super::*;

fn claims(value: Value) -> Claims {
    serde_json::from_value(value).expect("claims")
}

fn rules() -> Rules {
    Rules { user_id_claim: "userId".into(), ..Rules::default() }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn user(rules: &Rules, value: Value) -> Result<String, Refusal> {
    let identity = rules.check(&claims(value))?;
    Ok(String::from_utf8_lossy(identity.user_id.as_bytes()).into_owned())
}

#[test]
fn the_user_is_the_claim_and_else_the_subject() {
    for (value, expected) in [
        (json!({"userId": "u-1"}), "u-1"),
        (json!({"userId": 42}), "42"),
        (json!({"userId": -7}), "-7"),
        (json!({"userId": "u-1", "sub": "s-1"}), "u-1"),
        (json!({"sub": "s-1"}), "s-1"),
        (json!({"userId": "Zoë"}), "Zoë"),
        (json!({"userId": "with space inside"}), "with space inside"),
    ] {
        assert_eq!(user(&rules(), value.clone()).as_deref(), Ok(expected), "{value}");
    }
}

#[test]
fn a_user_id_that_cannot_be_a_header_is_refused() {
    for value in [
        json!({}),
        json!({"userId": null}),
        json!({"userId": true}),
        json!({"userId": 1.5}),
        json!({"userId": ""}),
        json!({"userId": {"id": 1}}),
        json!({"userId": ["a"]}),
        json!({"userId": "a\r\nx-admin: 1"}),
        json!({"userId": "a\u{0}"}),
        json!({"userId": " admin"}),
        json!({"userId": "admin\t"}),
        json!({"userId": null, "sub": "fallback"}),
    ] {
        assert!(matches!(user(&rules(), value.clone()), Err(Refusal::TokenInvalid(_))), "{value}");
    }
}

#[test]
fn exp_and_nbf_hold_to_the_second_and_may_be_fractions() {
    let check = |value: Value, leeway: u64, now: u64| {
        let rules = Rules { leeway: at(leeway), ..rules() };
        let mut value = value;
        value["sub"] = json!("u");
        rules.check(&claims(value))?.life.covers(at(now))
    };
    assert_eq!(check(json!({"exp": 1001}), 0, 1000), Ok(()));
    assert_eq!(check(json!({"exp": 1000}), 0, 1000), Err(Refusal::TokenExpired));
    assert_eq!(check(json!({"exp": 1000.5}), 0, 1000), Ok(()));
    assert_eq!(check(json!({"exp": 1000}), 5, 1004), Ok(()));
    assert_eq!(check(json!({"exp": 1000}), 5, 1005), Err(Refusal::TokenExpired));
    assert_eq!(check(json!({"exp": -5}), 0, 0), Err(Refusal::TokenExpired));
    assert_eq!(check(json!({"nbf": 1000}), 0, 1000), Ok(()));
    assert!(matches!(check(json!({"nbf": 1001}), 0, 1000), Err(Refusal::TokenInvalid(_))));
    assert_eq!(check(json!({"nbf": 1005}), 5, 1000), Ok(()));
    for wrong in [json!({"exp": "1001"}), json!({"exp": null}), json!({"nbf": true}), json!({"exp": [1001]})] {
        assert!(matches!(check(wrong.clone(), 0, 1000), Err(Refusal::TokenInvalid(_))), "{wrong}");
    }
}

#[test]
fn issuer_audience_and_required_claims_are_enforced() {
    let rules = Rules {
        issuer: vec!["me".into(), "also-me".into()],
        audience: vec!["api".into()],
        required: vec!["exp".into()],
        ..rules()
    };
    let good = json!({"sub": "u", "iss": "me", "aud": ["web", "api"], "exp": 2000});
    assert_eq!(user(&rules, good.clone()).as_deref(), Ok("u"));
    for (claim, value) in [
        ("iss", json!("you")),
        ("iss", json!(null)),
        ("iss", json!(7)),
        ("iss", json!(["me"])),
        ("aud", json!("web")),
        ("aud", json!([])),
        ("aud", json!({"api": 1})),
        ("exp", json!(null)),
    ] {
        let mut bad = good.clone();
        bad[claim] = value.clone();
        assert!(matches!(user(&rules, bad), Err(Refusal::TokenInvalid(_))), "{claim}: {value}");
    }
    let without = |claim: &str| {
        let mut bad = good.clone();
        bad.as_object_mut().and_then(|claims| claims.remove(claim));
        user(&rules, bad)
    };
    assert!(["iss", "aud", "exp"].iter().all(|claim| matches!(without(claim), Err(Refusal::TokenInvalid(_)))));
}

fn x_tenant() -> HeaderName {
    HeaderName::from_static("x-tenant")
}

#[test]
fn mapped_claims_travel_and_cannot_smuggle_lines() {
    let rules = Rules { headers: vec![("tenant".into(), x_tenant())], ..rules() };
    let identity = rules.check(&claims(json!({"sub": "u", "tenant": "gold"}))).expect("good");
    assert_eq!(identity.headers, [(x_tenant(), HeaderValue::from_static("gold"))]);
    let absent = rules.check(&claims(json!({"sub": "u"}))).expect("good");
    assert_eq!(absent.headers, []);
    let evil = rules.check(&claims(json!({"sub": "u", "tenant": "a\nb"})));
    assert!(matches!(evil, Err(Refusal::TokenInvalid(_))));
}

#[test]
fn scopes_and_roles_are_found_where_issuers_put_them() {
    let granted = |value: Value, roles_claim: &str| {
        let grants = vec![Grant::Scope("read".into()), Grant::Role("admin".into())];
        let rules = Rules { grants: grants.clone(), roles_claim: roles_claim.into(), ..rules() };
        let found = rules.check(&claims(value)).expect("good").grants;
        (found.contains(&grants[0]), found.contains(&grants[1]))
    };
    for (value, roles_claim, expected) in [
        (json!({"sub": "u", "scope": "write read", "roles": ["admin"]}), "roles", (true, true)),
        (json!({"sub": "u", "scp": ["write", "read"], "roles": "admin"}), "roles", (true, true)),
        (
            json!({"sub": "u", "scp": "read", "realm_access": {"roles": ["x", "admin"]}}),
            "realm_access.roles",
            (true, true),
        ),
        (json!({"sub": "u", "https://a.test/roles": ["admin"]}), "https://a.test/roles", (false, true)),
        (json!({"sub": "u", "scope": "reads write", "roles": "not admin"}), "roles", (false, false)),
        (json!({"sub": "u", "scope": {"read": true}, "roles": {"admin": true}}), "roles", (false, false)),
        (json!({"sub": "u", "scope": "READ", "realm_access": "admin"}), "realm_access.roles", (false, false)),
        (json!({"sub": "u", "scope": "", "scp": null}), "realm_access.roles", (false, false)),
    ] {
        assert_eq!(granted(value.clone(), roles_claim), expected, "{value}");
    }
}

#[test]
fn a_claim_given_twice_is_no_set_of_claims() {
    for text in [r#"{"sub":"a","sub":"b"}"#, r#"[1]"#, r#""x""#, "1"] {
        let read: Result<Claims, _> = serde_json::from_str(text);
        assert!(read.is_err(), "{text}");
    }
}
