//! Picking by weight in constant time: an alias table (Walker 1974, Vose 1991).

/// For every place the part of the draws that it keeps, and who gets the rest.
#[derive(Debug)]
pub(crate) struct Weights(Box<[(u64, u32)]>);

impl Weights {
    /// A table of these weights, all above zero; `None` when they are all the same, which needs no table.
    pub(crate) fn new(weights: impl ExactSizeIterator<Item = f64> + Clone) -> Option<Self> {
        let first = weights.clone().next()?;
        if weights.clone().all(|weight| weight == first) {
            return None;
        }
        // A sum of many large weights must stay finite.
        let weights = weights.map(|weight| weight.min(f64::MAX / 1e9));
        let (len, total) = (weights.len(), weights.clone().sum::<f64>());
        // What each would get, in parts of an even share. Those with less give the rest of their place away.
        let mut parts: Vec<f64> = weights.map(|weight| weight / total * len as f64).collect();
        let mut table: Vec<(u64, u32)> = (0..len).map(|place| (u64::MAX, place as u32)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..len).partition(|&place| parts[place] < 1.0);
        while let (Some(place), Some(&giver)) = (small.pop(), large.last()) {
            // Saturates: a part of 1 keeps everything.
            table[place] = ((parts[place] * 2f64.powi(64)) as u64, giver as u32);
            parts[giver] -= 1.0 - parts[place];
            if parts[giver] < 1.0 {
                large.pop();
                small.push(giver);
            }
        }
        Some(Self(table.into()))
    }

    /// The place that a uniformly random number falls on.
    pub(crate) fn pick(&self, random: u64) -> usize {
        // The product's upper half is the place, its lower half how far into it.
        let product = u128::from(random) * self.0.len() as u128;
        let (place, into) = ((product >> 64) as usize, product as u64);
        match self.0.get(place) {
            Some(&(keeps, other)) if into >= keeps => other as usize,
            _ => place,
        }
    }
}
