//! One instance of the fake product service. `PORT` and `INSTANCE` (its name) come from the environment;
//! `--health` asks an instance on `PORT` whether it is well.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match fake_services::main(fake_services::Service::Products, "product-service").await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("product-service: {message}");
            ExitCode::FAILURE
        }
    }
}
