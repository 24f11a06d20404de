//! What the process takes of its machine, by the names that Prometheus' own libraries have
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>).

use procfs::WithCurrentSystemInfo;
use procfs::process::{LimitValue, Process};

use crate::observe::exposition::{Kind, Page};

pub(super) fn show(page: &mut Page) {
    // Without /proc there is nothing to say.
    let Ok(process) = Process::myself() else { return };
    let Ok(stat) = process.stat() else { return };
    let ticks = procfs::ticks_per_second() as f64;
    let mut gauge = |name, help, value: f64| page.one(name, Kind::Gauge, help, value);
    gauge("process_resident_memory_bytes", "Memory that is resident.", stat.rss_bytes().get() as f64);
    gauge("process_virtual_memory_bytes", "Memory that is mapped.", stat.vsize as f64);
    gauge("process_threads", "Threads.", stat.num_threads as f64);
    if let Ok(count) = process.fd_count() {
        gauge("process_open_fds", "Open file descriptors.", count as f64);
    }
    if let Ok(limits) = process.limits()
        && let LimitValue::Value(most) = limits.max_open_files.soft_limit
    {
        gauge("process_max_fds", "File descriptors that there may be.", most as f64);
    }
    if let Ok(booted) = procfs::boot_time_secs() {
        let started = booted as f64 + stat.starttime as f64 / ticks;
        gauge("process_start_time_seconds", "When the process began, in seconds since 1970.", started);
    }
    let cpu = (stat.utime + stat.stime) as f64 / ticks;
    page.one("process_cpu_seconds_total", Kind::Counter, "Time of processors, in the process and for it.", cpu);
}
