//! The tables: what is kept, and the getters that read it. One file per table.

pub(crate) mod allocations;
pub(crate) mod deployments;
pub(crate) mod evaluations;
pub(crate) mod jobs;
pub(crate) mod nodes;
pub(crate) mod settings;

/// The ids that begin with a text of hexadecimal digits (dashes where a UUID has them are optional): lowest and highest.
///
/// `None` when no id can begin so.
pub(crate) fn id_range(prefix: &str) -> Option<([u8; 16], [u8; 16])> {
    let (mut low, mut high) = ([0u8; 16], [0xffu8; 16]);
    let mut nibbles = 0usize;
    for c in prefix.chars() {
        if c == '-' {
            if !matches!(nibbles, 8 | 12 | 16 | 20) {
                return None;
            }
            continue;
        }
        let digit = c.to_digit(16)? as u8;
        let (low, high) = (low.get_mut(nibbles / 2)?, high.get_mut(nibbles / 2)?);
        if nibbles.is_multiple_of(2) {
            (*low, *high) = (digit << 4, digit << 4 | 0x0f);
        } else {
            (*low, *high) = (*low | digit, *high & 0xf0 | digit);
        }
        nibbles += 1;
    }
    Some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_any_length_bound_the_ids() {
        let (low, high) = id_range("237fa063-8").unwrap();
        assert_eq!(
            (low[..5].to_vec(), high[..6].to_vec()),
            (vec![0x23, 0x7f, 0xa0, 0x63, 0x80], vec![0x23, 0x7f, 0xa0, 0x63, 0x8f, 0xff])
        );
        assert_eq!(id_range("").unwrap(), ([0; 16], [0xff; 16]));
        assert_eq!(id_range("237fa0638"), id_range("237fa063-8"));
        for none in ["xyz", "23-7f", "237fa063-8fdc-cf71-05e4-4b5026e640dc0"] {
            assert_eq!(id_range(none), None, "{none}");
        }
    }
}
