//! Shares: a part of the users, always the same ones.

use twox_hash::XxHash3_64;

use super::Value;

/// A share in hundredths of a percent.
pub const WHOLE: u32 = 10_000;

/// What a share is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareKey {
    /// Every request anew: a plain weight.
    Random,
    /// A fact: the same value always falls on the same side. The number is its place in the rule set.
    Fact(usize),
}

/// A part of all requests or of all users.
///
/// The key is hashed with the salt (XXH3, 64 bits, the seed being the hash of the salt) onto 0 to 9999; the share takes
/// `size` points from `start`. A larger share of the same start therefore has all users that a smaller one has, on
/// every gateway and after every restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// What it is taken of.
    pub key: ShareKey,
    seed: u64,
    start: u32,
    size: u32,
}

impl Share {
    /// `size` hundredths of a percent from `start`, of what `key` and `salt` make of a request.
    pub fn new(key: ShareKey, salt: &str, start: u32, size: u32) -> Self {
        Self { key, seed: XxHash3_64::oneshot(salt.as_bytes()), start, size: size.min(WHOLE) }
    }

    /// Its size, in hundredths of a percent.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The points it takes, of 0 to 9999.
    pub fn points(&self) -> std::ops::Range<u32> {
        self.start..self.start.saturating_add(self.size).min(WHOLE)
    }

    /// Whether both make the same point of every request, provided that they are taken of the same fact.
    pub fn has_points_of(&self, other: &Self) -> bool {
        match (self.key, other.key) {
            // There is one random number per request, and no salt in it.
            (ShareKey::Random, ShareKey::Random) => true,
            (ShareKey::Fact(_), ShareKey::Fact(_)) => self.seed == other.seed,
            _ => false,
        }
    }

    /// The point of a value.
    pub fn point(&self, value: &Value<'_>) -> u32 {
        value.hashed(|bytes| self.point_of(bytes))
    }

    /// The point of a value, given as the bytes that are hashed.
    #[inline]
    pub(super) fn point_of(&self, bytes: &[u8]) -> u32 {
        Self::spread(XxHash3_64::oneshot_with_seed(self.seed, bytes))
    }

    /// Whether it takes a point, of 0 to 9999.
    #[inline]
    pub(super) fn has(&self, point: u32) -> bool {
        point.wrapping_sub(self.start) < self.size
    }

    /// The point of a uniformly random number.
    #[inline]
    pub fn spread(random: u64) -> u32 {
        ((u128::from(random) * u128::from(WHOLE)) >> 64) as u32
    }
}
