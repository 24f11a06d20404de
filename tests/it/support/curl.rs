//! A client that is not ours: `curl`, with TLS and HTTP/2.

use std::process::Command;

/// What came of a request.
#[derive(Clone, Debug, Default)]
pub struct Curled {
    /// 0 where there was none.
    pub status: u16,
    /// `1.1` or `2`.
    pub version: String,
    /// Of the last answer, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// What curl said on standard error.
    pub error: String,
}

impl Curled {
    /// The only value of a header.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let first = values.next();
        assert_eq!(values.next(), None, "{name} came twice: {self:?}");
        first
    }

    /// The code of the gateway's own answer.
    pub fn code(&self) -> Option<&str> {
        self.header("x-gateway-error")
    }
}

/// Runs `curl` with these arguments.
pub fn curl(args: &[&str]) -> Curled {
    const TOLD: &str = "\n%{http_code} %{http_version}";
    let mut command = Command::new("curl");
    let output = command.args(["-sS", "-i", "--max-time", "20", "-w", TOLD]).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (mut rest, told) = text.rsplit_once('\n').unwrap();
    let (status, version) = told.split_once(' ').unwrap();
    let mut curled = Curled {
        status: status.parse().unwrap(),
        version: version.to_owned(),
        error: String::from_utf8_lossy(&output.stderr).into_owned(),
        ..Curled::default()
    };
    // Interim answers come before the last one.
    while let Some((head, body)) = rest.split_once("\r\n\r\n").filter(|(head, _)| head.starts_with("HTTP/")) {
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        curled.headers = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        (rest, curled.body) = (body, body.to_owned());
    }
    curled
}
