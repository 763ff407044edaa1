package dynamics

// putAtOnce is how many bytes are copied together.
const putAtOnce = 32

// put appends src to dst. Where both have the room, a short text is copied with what
// stands behind it: the copy is then of a size that the compiler knows, which takes a
// quarter of the time.
func put(dst, src []byte) []byte {
	if n := len(dst); len(src) <= putAtOnce && cap(src) >= putAtOnce && cap(dst)-n >= putAtOnce {
		*(*[putAtOnce]byte)(dst[n : n+putAtOnce]) = *(*[putAtOnce]byte)(src[:putAtOnce])
		return dst[:n+len(src)]
	}
	return append(dst, src...)
}
