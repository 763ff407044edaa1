// Package check looks at what is shipped to run crmbridge with, from the outside: the image,
// the compose file, the Kubernetes manifests, the systemd unit, and what observes it. It is a
// module of its own, so that the libraries of Kubernetes, Compose and the like are no
// dependencies of crmbridge; it builds and runs the programs and imports nothing of theirs.
// .ci/deploy runs it.
package check
