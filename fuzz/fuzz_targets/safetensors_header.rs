//! Any bytes as a safetensors file: refused, or every tensor lies in the file, is of the size its shape needs, follows
//! the one before it without hole or overlap, and has a name of its own. What is accepted survives being written again.
#![no_main]

use hfcore_weights::{Limits, SafetensorsHeader, Weights, to_safetensors};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let limits = Limits::default();
    let Ok(header) = SafetensorsHeader::from_file_bytes(file, &limits) else {
        assert!(Weights::from_bytes(file.to_vec()).is_err());
        return;
    };
    let names: Vec<&str> = header.tensors().map(|(name, ..)| name).collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]));

    let mut ranges: Vec<_> = header
        .tensors()
        .map(|(.., range)| (range.start, range.end))
        .collect();
    ranges.sort_unstable();
    let mut end = 0;
    for (start, stop) in ranges {
        assert!(start == end && stop >= start);
        end = stop;
    }
    assert_eq!(end, header.data_len());

    let mut all_known = true;
    for (_, dtype, shape, range) in header.tensors() {
        assert!(shape.len() <= limits.max_rank);
        match dtype {
            Ok(dtype) => {
                let elements: u128 = shape.iter().map(|&dim| dim as u128).product();
                assert_eq!(
                    elements * dtype.bits() as u128,
                    u128::from(range.end - range.start) * 8
                );
            }
            Err(_) => all_known = false,
        }
    }

    let weights = Weights::from_bytes(file.to_vec()).expect("the header was accepted");
    if all_known {
        let tensors = || {
            weights
                .names()
                .map(|name| (name.to_owned(), weights.get(name).expect("it is there")))
        };
        let again = Weights::from_bytes(to_safetensors(tensors(), &[]).expect("it was read"));
        let again = again.expect("it was written here");
        for (name, tensor) in tensors() {
            let copy = again.get(&name).expect("it was written");
            assert_eq!((copy.dtype, &copy.shape), (tensor.dtype, &tensor.shape));
            assert_eq!(copy.bytes.as_ref(), tensor.bytes.as_ref());
        }
    }
});
