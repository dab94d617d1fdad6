//! What data-flow control holds and what it lets pass, told as small stories.
