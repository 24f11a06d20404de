//! One instance of the fake user service. `PORT` and `INSTANCE` (its name) come from the environment;
//! `--health` asks an instance on `PORT` whether it is well.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match fake_services::main(fake_services::Service::Users, "user-service").await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("user-service: {message}");
            ExitCode::FAILURE
        }
    }
}
