//! The only place that names fuser.
