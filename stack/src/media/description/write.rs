//! Writing a description.

use super::Description;
use super::line::{Line, OtherLine, Stream};
use super::read::wipe;
use sdp_types::{Connection, Media, Rtcp, RtpMap, Session};
use std::net::Ipv4Addr;
use zeroize::Zeroizing;

impl Description {
    /// The description as it is sent, keys included: not for a log.
    pub fn write(&self) -> Zeroizing<Vec<u8>> {
        let mut session = Session::new(self.origin.clone(), "-");
        session.medias = self.lines.iter().map(write_line).collect();
        // Room for the most that can be read, so that no key is left behind where it was before it grew.
        let mut bytes = Zeroizing::new(Vec::with_capacity(super::DESCRIPTION_LEN_MAX));
        session.write(&mut *bytes).expect("a vector takes what is written");
        wipe(&mut session);
        bytes
    }
}

fn write_line(line: &Line) -> Media {
    match line {
        Line::Stream(stream) => write_stream(stream),
        Line::Other(other) => write_other(other),
    }
}

fn empty(media: &str, port: u16, proto: &str, fmt: String) -> Media {
    let (media, proto) = (media.to_owned(), proto.to_owned());
    let (connections, bandwidths, attributes) = (Vec::new(), Vec::new(), Vec::new());
    Media { media, port, num_ports: None, proto, fmt, media_title: None, connections, bandwidths, key: None, attributes }
}

fn write_other(other: &OtherLine) -> Media {
    let mut media = empty(&other.media, other.port, &other.protocol, other.formats.clone());
    // Each line needs an address, this one too.
    media.add_connection(Connection::from_ip_addr(Ipv4Addr::UNSPECIFIED));
    media
}

fn write_stream(stream: &Stream) -> Media {
    let numbers: Vec<String> = stream.formats.iter().map(|format| format.payload_type().to_string()).collect();
    let mut media = empty(stream.kind.name(), stream.rtp.port(), stream.protocol.name(), numbers.join(" "));
    media.add_connection(Connection::from_ip_addr(stream.rtp.ip()));
    for format in &stream.formats {
        let mut map = RtpMap::new(format.payload_type(), format.encoding(), format.clock_rate_hz());
        if format.channels() > 1 {
            map.set_encoding_params(format.channels());
        }
        media.add_attribute(map);
        if let Some(parameters) = format.parameters() {
            media.add_attribute_with_value("fmtp", format!("{} {parameters}", format.payload_type()));
        }
    }
    if stream.rtcp.ip() != stream.rtp.ip() {
        media.add_attribute(Rtcp::with_ip_addr(stream.rtcp.port(), stream.rtcp.ip()));
    } else if Some(stream.rtcp.port()) != stream.rtp.port().checked_add(1) {
        media.add_attribute(Rtcp::with_port(stream.rtcp.port()));
    }
    if stream.rtcp_mux {
        media.add_attribute_from_str("rtcp-mux");
    }
    for crypto in &stream.crypto {
        media.add_attribute_with_value("crypto", crypto.value().as_str());
    }
    for unknown in &stream.unknown_crypto {
        media.add_attribute_with_value("crypto", unknown.0.as_str());
    }
    for fingerprint in stream.fingerprints.iter().flat_map(|fingerprints| fingerprints.iter()) {
        media.add_attribute_with_value("fingerprint", fingerprint);
    }
    if let Some(setup) = stream.setup {
        media.add_attribute_with_value("setup", setup);
    }
    if let Some(id) = &stream.tls_id {
        media.add_attribute_with_value("tls-id", id);
    }
    for source in &stream.sources {
        let cname = source.cname.as_ref().map(|cname| format!(" cname:{cname}")).unwrap_or_default();
        media.add_attribute_with_value("ssrc", format!("{}{cname}", source.ssrc));
    }
    media.add_attribute_from_str(stream.direction);
    media
}
