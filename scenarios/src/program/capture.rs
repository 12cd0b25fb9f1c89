//! The packets of a replayed run as a capture file (pcapng): an interface for each host, on which what it sends and what it receives
//! stand with their times, and a comment where something happened to a packet on its way.

use super::Failure;
use etherparse::PacketBuilder;
use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use sim::trace::{Packet, Trace};
use std::borrow::Cow;
use std::fs::File;
use std::io::BufWriter;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// What a router leaves of the hops that a packet may take.
const TIME_TO_LIVE: u8 = 64;
/// Interfaces count time in nanoseconds.
const NANOSECONDS: u8 = 9;

/// A packet as one host saw it.
struct Sighting<'a> {
    at_ns: u64,
    host: IpAddr,
    packet: &'a Packet,
    bytes: &'a [u8],
    comment: String,
}

/// Writes every packet that was sent or arrived, in the order of time. Returns how many there are.
pub(crate) fn write(trace: &Trace, path: &Path) -> Result<usize, Failure> {
    let system =
        |why: &dyn std::fmt::Display| Failure::System(format!("the packets were not written to {}: {why}", path.display()));
    let file = File::create(path).map_err(|error| system(&error))?;
    let mut writer = PcapNgWriter::new(BufWriter::new(file)).map_err(|error| system(&error))?;
    for (name, _) in &trace.hosts {
        let mut interface = InterfaceDescriptionBlock::new(DataLink::RAW, 0);
        interface.options.push(InterfaceDescriptionOption::IfName(Cow::Borrowed(name)));
        interface.options.push(InterfaceDescriptionOption::IfTsResol(NANOSECONDS));
        writer.write_pcapng_block(interface).map_err(|error| system(&error))?;
    }
    let sightings = sightings(trace);
    for sighting in &sightings {
        let datagram = datagram(sighting.packet.from, sighting.packet.to, sighting.bytes).map_err(|error| system(&error))?;
        let interface = trace.hosts.iter().position(|(_, address)| *address == sighting.host).unwrap_or(0);
        let mut options = Vec::new();
        if !sighting.comment.is_empty() {
            options.push(EnhancedPacketOption::Comment(Cow::Borrowed(&sighting.comment)));
        }
        let block = EnhancedPacketBlock {
            interface_id: interface as u32,
            timestamp: Duration::from_nanos(sighting.at_ns),
            original_len: datagram.len() as u32,
            data: Cow::Owned(datagram),
            options,
        };
        writer.write_pcapng_block(block).map_err(|error| system(&error))?;
    }
    // What a buffer still holds is written here, so that a full disk is noticed.
    std::io::Write::flush(writer.get_mut()).map_err(|error| system(&error))?;
    Ok(sightings.len())
}

fn sightings(trace: &Trace) -> Vec<Sighting<'_>> {
    let mut sightings = Vec::new();
    for packet in &trace.packets {
        let comment =
            format!("packet {}{}{}", packet.number, if packet.fate.is_empty() { "" } else { ": " }, packet.fate.join(", "));
        sightings.push(Sighting { at_ns: packet.sent_ns, host: packet.from.ip(), packet, bytes: &packet.bytes, comment });
        for arrival in &packet.arrivals {
            let comment = format!("packet {}, sent at {} ns", packet.number, packet.sent_ns);
            sightings.push(Sighting { at_ns: arrival.at_ns, host: packet.to.ip(), packet, bytes: &arrival.bytes, comment });
        }
    }
    // Stable: what happens at once stays in the order in which it was sent.
    sightings.sort_by_key(|sighting| sighting.at_ns);
    sightings
}

/// The datagram with the headers that the simulated network does not write. A damaged payload has a checksum that fits, as its link says.
fn datagram(from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (from.ip(), to.ip()) else {
        return Err(format!("expected IPv4 addresses, got {from} and {to}"));
    };
    let builder = PacketBuilder::ipv4(source.octets(), destination.octets(), TIME_TO_LIVE).udp(from.port(), to.port());
    let mut datagram = Vec::with_capacity(builder.size(bytes.len()));
    builder.write(&mut datagram, bytes).map_err(|error| error.to_string())?;
    Ok(datagram)
}
