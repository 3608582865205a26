//! Files that are good, bad, and changing.
