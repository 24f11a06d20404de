//! The program's own log, on standard error. Whoever reads that may be slow or stuck: nobody waits for it, least of all
//! who is about to end the process.

use std::io::{self, Write};
use std::sync::OnceLock;

use super::spool::{Spool, Trouble};

static SPOOL: OnceLock<Spool> = OnceLock::new();

/// Where lines are written to that belong there.
///
/// # Errors
/// The system gives no thread.
pub fn start() -> io::Result<impl Write + Send + 'static> {
    let spool = Spool::start("diagnostics", Box::new(io::stderr()), tell)?;
    // Whoever was first is as good.
    let _ = SPOOL.set(spool);
    Ok(Lines)
}

/// Writes what is waiting, for a second at most. Lines that come later are dropped.
pub fn close() {
    SPOOL.get().iter().for_each(|spool| spool.close());
}

fn tell(trouble: &Trouble) -> Option<String> {
    match trouble {
        Trouble::Dropped(lines) => {
            Some(format!("{lines} lines of this log were dropped, whoever reads it cannot keep up\n"))
        }
        // There is no other place to say so.
        Trouble::Failing(_) | Trouble::Over => None,
    }
}

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SPOOL.get().iter().for_each(|spool| spool.push(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
