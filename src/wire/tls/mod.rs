//! TLS on a connection: records on the socket below, plain bytes above.

pub(super) mod stream;
