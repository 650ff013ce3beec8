//! Pictures.
pub fn thresholds(_rows: &[crate::record::ThresholdRow], _folder: &std::path::Path) -> anyhow::Result<()> {
    Ok(())
}
