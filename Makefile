# What people do with a checkout. Everything else is plain cargo.
.PHONY: demo test bench

demo: ## The gateway and six fake instances in one process, on :8000
	@.ci/need cmake c++ make
	@cargo run --quiet -- demo

test: ## All tests, with a real Redis
	@.ci/need cmake c++ make redis-server valkey-server libnss-wrapper faketime grpcio dnsmasq curl promtool chromium chromedriver haproxy kubernetes-validate
	@cargo test --workspace

bench: ## What a request costs, beside other gateways; writes bench/RESULTS.md
	@.ci/need cmake c++ make nginx wrk redis-server h2load haproxy envoy traefik caddy oha
	@! command -v apt-get >/dev/null || .ci/need libnginx-mod-http-lua lua-nginx-redis lua-cjson
	@bench/run
	@bench/pace --no-build
	@bench/curves --no-build
	@bench/events --no-build
	@bench/features
