//! `aegis token`

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::{ConfigFile, Exit, run::load};
use crate::config::units::{Period, Secret};
use crate::config::{Jwt, KeySource};
use crate::plugin::auth::jwt::sign;

/// What the token is to say.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The user it names
    #[arg(long, value_name = "ID")]
    user: String,
    /// A further claim; JSON where it is JSON, else text. Can be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// How long it is good: 30s, 15m, 1h, 7d
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    expires: Period,
    /// Sign with this instead of the config's secret
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

/// Prints a token.
pub fn run(args: &Args) -> Exit {
    let jwt = match jwt(args) {
        Ok(jwt) => jwt,
        Err(exit) => return exit,
    };
    match token(&jwt, &args.user, args.claims.clone(), args.expires, SystemTime::now()) {
        Ok(token) => {
            println!("{token}");
            Exit::Good
        }
        Err(reason) => {
            eprintln!("aegis: cannot sign: {reason}");
            Exit::Bad
        }
    }
}

/// How to sign: as the config says, if there is one; a secret that is given needs none.
fn jwt(args: &Args) -> Result<Jwt, Exit> {
    let with = |secret: &str, jwt: Option<Jwt>| {
        let secret = Secret::new(secret);
        match jwt {
            Some(jwt) => Jwt { source: KeySource::Secret { secret }, ..jwt },
            None => Jwt::with_secret(secret),
        }
    };
    if let (Some(secret), false) = (&args.secret, args.file.config.exists()) {
        return Ok(with(secret, None));
    }
    let mut all = load(&args.file)?.auth.jwt;
    // Of several issuers, the one that can be stood in for.
    let signing = all.iter().position(|jwt| jwt.source.secret().is_some()).unwrap_or_default();
    let jwt = (signing < all.len()).then(|| all.swap_remove(signing));
    match (&args.secret, jwt) {
        (Some(secret), jwt) => Ok(with(secret, jwt)),
        (None, Some(jwt)) => Ok(jwt),
        (None, None) => {
            eprintln!(
                "aegis: no route of {} needs tokens, so it has no secret; give one with --secret",
                args.file.config.display()
            );
            Err(Exit::Bad)
        }
    }
}

/// A token for `user`, good from `now` on for `expires`.
///
/// # Errors
/// Why it cannot be signed.
pub fn token(
    jwt: &Jwt,
    user: &str,
    claims: Vec<(String, Value)>,
    expires: Period,
    now: SystemTime,
) -> Result<String, String> {
    let secret = jwt.source.secret().ok_or("the config has no secret, only what tokens are checked with; their issuer makes them (or give a secret with --secret)")?;
    let now = now.duration_since(UNIX_EPOCH).map_err(|_| "the clock is before 1970")?.as_secs();
    let mut all = Map::new();
    all.insert(jwt.user_id_claim.clone(), user.into());
    all.insert("iat".into(), now.into());
    all.insert("exp".into(), (now + expires.0.as_secs()).into());
    if let Some(issuer) = jwt.issuer.first() {
        all.insert("iss".into(), issuer.as_str().into());
    }
    if let Some(audience) = jwt.audience.first() {
        all.insert("aud".into(), audience.as_str().into());
    }
    all.extend(claims);
    sign(jwt, secret, &all)
}
