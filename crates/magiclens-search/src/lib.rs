//! The central act, once: query -> vector + space -> hits; images -> index.
