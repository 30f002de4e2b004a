//! SNTP packets (RFC 5905, section 14): request and response. Pure.

use clock::units::{MICROSECOND, Nanoseconds, SECOND};
use clock::{OffsetInterval, Reading, drift};

/// Length of a packet without extensions.
pub(crate) const LENGTH: usize = 48;
/// First byte of a request: version 4, client mode.
const CLIENT: u8 = 0b00_100_011;
const MODE: u8 = 0b111;
const SERVER: u8 = 4;
const UNSYNCHRONISED: u8 = 3;
/// Seconds from 1900, the NTP epoch, to 1970.
const FROM_1900: Nanoseconds = 2_208_988_800;
/// Length of an NTP era in seconds: 136 years, after which the seconds of a packet wrap.
const ERA: Nanoseconds = 1 << 32;
/// Maximum root distance of a usable server, nanoseconds: the MAXDISP of RFC 5905.
const WORST_DISTANCE: Nanoseconds = 16 * SECOND;

/// Response of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) stratum: u8,
    /// Nanoseconds since 1970 by the server's clock: arrival of the request, and departure of the
    /// response.
    arrived: Nanoseconds,
    left: Nanoseconds,
    /// Root distance: nanoseconds by which the server's clock may be off.
    distance: Nanoseconds,
}

/// Reason that a packet is no usable response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReplyError {
    #[error("it answers with something else than time")]
    Malformed,
    #[error("it answers another question")]
    Unasked,
    #[error("it says that its own clock is not synchronised")]
    Unsynchronised,
    #[error("it asks not to be asked (`{0}`)")]
    KissOfDeath(char),
}

/// Builds a request. The response echoes `token`, which need not be the time.
pub(crate) fn question(token: u64) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[0] = CLIENT;
    packet[40..48].copy_from_slice(&token.to_be_bytes());
    packet
}

impl Reply {
    /// Parses the response to the request with this token. `near` is a moment (nanoseconds since
    /// 1970) that selects the era.
    pub(crate) fn parse(packet: &[u8], token: u64, near: Nanoseconds) -> Result<Self, ReplyError> {
        let packet: &[u8; LENGTH] = packet
            .get(..LENGTH)
            .and_then(|packet| packet.try_into().ok())
            .ok_or(ReplyError::Malformed)?;
        if packet[0] & MODE != SERVER {
            return Err(ReplyError::Malformed);
        }
        if packet[24..32] != token.to_be_bytes() {
            return Err(ReplyError::Unasked);
        }
        let stratum = packet[1];
        if stratum == 0 {
            let code = char::from(packet[12]);
            return Err(ReplyError::KissOfDeath(if code.is_ascii_graphic() {
                code
            } else {
                '?'
            }));
        }
        let arrived = timestamp(field(packet, 32), near);
        let left = timestamp(field(packet, 40), near);
        // Half the root delay plus the root dispersion, both in seconds with 16 fraction bits.
        let short = |at: usize| {
            let whole = u32::try_from(field(packet, at) >> 32).unwrap_or(u32::MAX);
            Nanoseconds::from(whole) * SECOND / (1 << 16)
        };
        let distance = short(4) / 2 + short(8);
        if packet[0] >> 6 == UNSYNCHRONISED || stratum > 15 || distance > WORST_DISTANCE {
            return Err(ReplyError::Unsynchronised);
        }
        if left < arrived || field(packet, 40) == 0 {
            return Err(ReplyError::Malformed);
        }
        Ok(Self {
            stratum,
            arrived,
            left,
            distance,
        })
    }

    /// Returns the interval that holds true time minus local time: by causality, widened by the
    /// error that the server reports.
    pub(crate) fn interval(&self, sent: Reading, received: Reading) -> OffsetInterval {
        let elapsed = received.monotonic - sent.monotonic;
        let margin = MICROSECOND + drift(elapsed) + self.distance;
        OffsetInterval {
            lo: self.left - (sent.wall + elapsed) - margin,
            hi: self.arrived - sent.wall + margin,
        }
    }
}

fn field(packet: &[u8; LENGTH], at: usize) -> u64 {
    packet
        .get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_be_bytes)
}

/// Converts an NTP timestamp: seconds since 1900 modulo the era, with 32 fraction bits.
fn timestamp(field: u64, near: Nanoseconds) -> Nanoseconds {
    let seconds = Nanoseconds::from(field >> 32) - FROM_1900;
    let fraction = Nanoseconds::from(field & 0xffff_ffff) * SECOND / ERA;
    let eras = (near / SECOND - seconds + ERA / 2).div_euclid(ERA);
    (seconds + eras * ERA) * SECOND + fraction
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use clock::units::MILLISECOND;

    const NOW: Nanoseconds = 1_795_305_600 * SECOND;

    fn encode(at: Nanoseconds) -> u64 {
        let seconds = (at.div_euclid(SECOND) + FROM_1900).rem_euclid(ERA);
        let fraction = at.rem_euclid(SECOND) * ERA / SECOND;
        u64::try_from(seconds * ERA + fraction).unwrap()
    }

    /// What a good server would answer at these moments.
    pub(crate) fn answer(token: u64, arrived: Nanoseconds, left: Nanoseconds) -> [u8; LENGTH] {
        let mut packet = [0; LENGTH];
        packet[0] = 0b00_100_100;
        packet[1] = 2;
        // 10 ms of delay, 5 ms of dispersion.
        packet[4..8].copy_from_slice(&655_u32.to_be_bytes());
        packet[8..12].copy_from_slice(&328_u32.to_be_bytes());
        packet[24..32].copy_from_slice(&token.to_be_bytes());
        packet[32..40].copy_from_slice(&encode(arrived).to_be_bytes());
        packet[40..48].copy_from_slice(&encode(left).to_be_bytes());
        packet
    }

    #[test]
    fn an_answer_bounds_the_offset() {
        for offset in [0, 1_200, -1_200, 3_600_000] {
            let offset = offset * MILLISECOND;
            let reading = |after| Reading {
                wall: NOW + after,
                monotonic: after,
                suspended: 0,
            };
            let (there, back) = (3 * MILLISECOND, 20 * MILLISECOND);
            let packet = answer(7, NOW + there + offset, NOW + there + offset + 1000);
            let reply = Reply::parse(&packet, 7, NOW).unwrap();
            let interval = reply.interval(reading(0), reading(there + back));
            assert!(interval.lo < offset && offset < interval.hi, "{interval:?}");
            assert!(interval.width() < 50 * MILLISECOND);
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let good = answer(7, NOW, NOW);
        let parse = |change: &dyn Fn(&mut [u8; LENGTH])| {
            let mut packet = good;
            change(&mut packet);
            Reply::parse(&packet, 7, NOW).unwrap_err()
        };
        assert_eq!(parse(&|packet| packet[31] = 8), ReplyError::Unasked);
        assert_eq!(parse(&|packet| packet[0] = CLIENT), ReplyError::Malformed);
        assert_eq!(
            parse(&|packet| packet[0] |= 0b1100_0000),
            ReplyError::Unsynchronised
        );
        assert_eq!(
            parse(&|packet| (packet[1], packet[12]) = (0, b'R')),
            ReplyError::KissOfDeath('R')
        );
        assert_eq!(parse(&|packet| packet[1] = 16), ReplyError::Unsynchronised);
        assert_eq!(parse(&|packet| packet[8] = 1), ReplyError::Unsynchronised);
        assert_eq!(
            parse(&|packet| packet[40..48].fill(0)),
            ReplyError::Malformed
        );
        assert_eq!(
            Reply::parse(&good[..47], 7, NOW),
            Err(ReplyError::Malformed)
        );
        assert_eq!(Reply::parse(&[], 7, NOW), Err(ReplyError::Malformed));
    }

    #[test]
    fn the_era_is_the_nearest() {
        // 2036-02-07T06:28:16Z is where the second era begins.
        let turn = (ERA - FROM_1900) * SECOND;
        for at in [NOW, turn - 1_000, turn, turn + 5 * SECOND] {
            let error = timestamp(encode(at), at + 3_600 * SECOND) - at;
            assert!(error.abs() <= 1, "{error}");
        }
    }
}
