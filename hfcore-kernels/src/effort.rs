//! How much the tests of this crate try.

/// Whether `HFCORE_TEST_SIZE` is `small`: for emulated processors, on which arithmetic takes thirty times
/// its time. Each test that asks says what it leaves out.
pub(crate) fn small() -> bool {
    std::env::var_os("HFCORE_TEST_SIZE").is_some_and(|size| size == "small")
}
