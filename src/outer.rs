//! What Pingora asks of a connection that is around another one, which answers it.

/// Says what `$inner` of `$outer` says of its socket, of when it was made, and of how long it has waited.
macro_rules! answered_by {
    ([$($bounds:tt)*] $outer:ty, |$it:ident| $inner:expr) => {
        impl<$($bounds)*> std::fmt::Debug for $outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let $it = self;
                $inner.fmt(f)
            }
        }

        impl<$($bounds)*> pingora_core::protocols::UniqueID for $outer {
            fn id(&self) -> pingora_core::protocols::UniqueIDType {
                let $it = self;
                $inner.id()
            }
        }

        impl<$($bounds)*> pingora_core::protocols::GetTimingDigest for $outer {
            fn get_timing_digest(&self) -> Vec<Option<pingora_core::protocols::TimingDigest>> {
                let $it = self;
                $inner.get_timing_digest()
            }

            fn get_read_pending_time(&self) -> std::time::Duration {
                let $it = self;
                $inner.get_read_pending_time()
            }

            fn get_write_pending_time(&self) -> std::time::Duration {
                let $it = self;
                $inner.get_write_pending_time()
            }
        }

        impl<$($bounds)*> pingora_core::protocols::GetProxyDigest for $outer {
            fn get_proxy_digest(
                &self,
            ) -> Option<std::sync::Arc<pingora_core::protocols::raw_connect::ProxyDigest>> {
                let $it = self;
                $inner.get_proxy_digest()
            }
        }

        impl<$($bounds)*> pingora_core::protocols::GetSocketDigest for $outer {
            fn get_socket_digest(&self) -> Option<std::sync::Arc<pingora_core::protocols::SocketDigest>> {
                let $it = self;
                $inner.get_socket_digest()
            }
        }
    };
}

/// Says what the field `$inner` of `$outer` says of TLS, and shows what it has to read.
macro_rules! secured_by {
    ([$($bounds:tt)*] $outer:ty, $inner:ident) => {
        impl<$($bounds)*> pingora_core::protocols::Ssl for $outer {
            fn get_ssl_digest(&self) -> Option<std::sync::Arc<pingora_core::protocols::tls::SslDigest>> {
                self.$inner.get_ssl_digest()
            }

            fn selected_alpn_proto(&self) -> Option<pingora_core::protocols::ALPN> {
                self.$inner.selected_alpn_proto()
            }
        }

        #[async_trait::async_trait]
        impl<$($bounds)*> pingora_core::protocols::Peek for $outer {
            async fn try_peek(&mut self, buffer: &mut [u8]) -> std::io::Result<bool> {
                self.$inner.try_peek(buffer).await
            }
        }
    };
}

pub(crate) use {answered_by, secured_by};
