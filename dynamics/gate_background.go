package dynamics

import "context"

type backgroundKey struct{}

// WithBackground says that calls under ctx are a job's, for which nobody waits: a [Gate]
// lets the same user's other calls begin before them.
func WithBackground(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

// Background reports whether calls under ctx give way to others; see [WithBackground].
func Background(ctx context.Context) bool {
	background, _ := ctx.Value(backgroundKey{}).(bool)
	return background
}
