package messages

// EncodingZstd is the one encoding of results other than none.
const EncodingZstd = "zstd"

// JobOptions are members of a job's body that say how it is run. They come beside those of
// the operation's request, which has no members of these names.
type JobOptions struct {
	// Parallel false has the rows read one page after the other.
	Parallel *bool `json:"parallel,omitzero" jsonschema:"false reads the rows one page after the other; default true"`
	// Encoding is how the bodies of the results are compressed: "" or EncodingZstd.
	Encoding string `json:"encoding,omitzero" jsonschema:"zstd compresses the results; default none"`
}
