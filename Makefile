# What people do with a checkout. Everything else is plain cargo.
.PHONY: demo test

demo: ## The gateway and six fake instances in one process, on :8000
	@.ci/need cmake c++ make
	@cargo run --quiet -- demo

test: ## All tests, with a real Redis
	@.ci/need cmake c++ make redis-server valkey-server libnss-wrapper faketime grpcio dnsmasq curl promtool chromium chromedriver haproxy kubernetes-validate
	@cargo test --workspace
