package dynamics

import "context"

type backgroundKey struct{}

// WithBackground says that calls under ctx are a job's, for which nobody waits: a [Gate]
// lets the same user's other calls begin before them.
func WithBackground(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

// WithoutBackground undoes WithBackground, for what a job asks and others may be waiting
// for: metadata that is read for all.
func WithoutBackground(ctx context.Context) context.Context {
	if !Background(ctx) {
		return ctx
	}
	return context.WithValue(ctx, backgroundKey{}, false)
}

// Background reports whether calls under ctx give way to others; see [WithBackground].
func Background(ctx context.Context) bool {
	background, _ := ctx.Value(backgroundKey{}).(bool)
	return background
}
