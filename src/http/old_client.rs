//! What a client that speaks HTTP/1.0 does not know: its version in, what must be done for it out.

use http::Version;

/// Whether it knows of interim responses (RFC 9110 section 15.2).
pub fn knows_interim(client: Version) -> bool {
    client != Version::HTTP_10
}

/// Whether it can read a body in chunks (RFC 9112 section 7.1). Of another it learns the end by the end
/// of the connection.
pub fn knows_chunks(client: Version) -> bool {
    client != Version::HTTP_10
}
