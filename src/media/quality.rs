//! How good a leg's media was: what CDRs and metrics say of it.

use crate::base::time::{Duration, Instant};

/// Statistics of one leg since it was allocated. "In" is what the peer sent to Carrick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LegReport {
    /// RTP packets that came from the peer, each counted once.
    pub packets_in: u64,
    /// Payload bytes of those.
    pub octets_in: u64,
    /// RTP packets sent to the peer.
    pub packets_out: u64,
    /// Payload bytes of those.
    pub octets_out: u64,
    /// Packets of the peer's that never came.
    pub lost: u64,
    /// Packets that came after a later one.
    pub late: u32,
    /// Packets that came again; they are not relayed.
    pub duplicates: u32,
    /// Packets from sources other than the peer.
    pub strangers: u32,
    /// Packets that were no RTP or RTCP, or of no negotiated payload type.
    pub malformed: u32,
    /// Packets that came while nobody listened (hold, not connected) or without a mapping.
    pub unwanted: u32,
    /// Interarrival jitter at the end (RFC 3550 A.8), in milliseconds.
    pub jitter_ms: f32,
    /// Round-trip time from the peer's last RTCP report, in milliseconds.
    pub round_trip_ms: Option<f32>,
    /// Packets that the peer says it has lost of Carrick's stream.
    pub remote_lost: Option<u32>,
    /// Jitter that the peer reported last, in milliseconds.
    pub remote_jitter_ms: Option<f32>,
    /// When the first RTP packet came.
    pub first_packet: Option<Instant>,
    /// When the last RTP packet came.
    pub last_packet: Option<Instant>,
    /// When the last RTCP packet came.
    pub last_control: Option<Instant>,
    /// Time without packets while packets were due; pauses under a second are left out.
    pub silence: Duration,
    /// Estimated listening quality of what came in, 1.0 to 4.5; `None` without packets.
    pub mos: Option<f32>,
}

/// The mean opinion score by a simplified E-model (ITU-T G.107): delay and loss only, with the
/// loss robustness of G.711 under packet-loss concealment (Bpl 25.1, G.113).
///
/// Loss is a share from 0 to 1; the jitter is taken as buffered twice over by the listener.
pub fn mean_opinion_score(loss: f32, jitter_ms: f32, round_trip_ms: f32) -> f32 {
    let delay = round_trip_ms / 2.0 + 2.0 * jitter_ms + 20.0;
    let delay_impairment = 0.024 * delay + 0.11 * (delay - 177.3).max(0.0);
    let percent = 100.0 * loss.clamp(0.0, 1.0);
    let loss_impairment = 95.0 * percent / (percent + 25.1);
    let rating = (93.2 - delay_impairment - loss_impairment).clamp(0.0, 93.2);
    let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7.0e-6;
    score.clamp(1.0, 4.5)
}

/// A span of clock units in milliseconds; zero where the clock is not known.
#[expect(clippy::cast_precision_loss, reason = "a picture for people")]
pub(super) fn units_to_ms(units: u32, clock: u32) -> f32 {
    if clock == 0 { 0.0 } else { units as f32 * 1000.0 / clock as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_falls_with_loss_jitter_and_delay() {
        let perfect = mean_opinion_score(0.0, 0.0, 0.0);
        assert!((4.35..=4.45).contains(&perfect), "{perfect}");
        let at = [
            mean_opinion_score(0.01, 0.0, 0.0),
            mean_opinion_score(0.05, 0.0, 0.0),
            mean_opinion_score(0.05, 30.0, 400.0),
            mean_opinion_score(1.0, 500.0, 3000.0),
        ];
        assert!(perfect > at[0] && at.windows(2).all(|w| w[0] > w[1]), "{at:?}");
        assert!((at[3] - 1.0).abs() < 0.001);
    }
}
