//! The texts of codes and notices.
