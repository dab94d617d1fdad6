//! The binary sallyport.
