//! Facts to permits: rules, registry, limits.
