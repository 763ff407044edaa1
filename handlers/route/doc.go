// Package route is what lanes and operations know of each other: the call that an
// operation gets, the route by which a lane finds it, and the parts of its answer. It
// decodes bodies, and it is the only place where errors become those of messages/README.md#errors.
package route
