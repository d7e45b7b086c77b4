"""DICOM: engine, headers, pixels and vendors."""
