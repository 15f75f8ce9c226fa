// Package rs3gw is a client of an rs3gw gateway over gRPC: objects as Go's readers and writers, errors as values, and
// transfers that survive a connection that breaks.
//
// What is repeated is what may be: a call that the gateway refused for the moment (UNAVAILABLE, SlowDown), or one
// whose answer was lost and that means the same done twice.  Every other refusal is the caller's, at once, as an
// [*Error].  Whole objects are compared with their CRC-64/NVME in both directions, whoever wrote them.
//
// The calls that have no method here are made with the generated stubs, [Client.Buckets], [Client.Objects] and
// [Client.Uploads], over the same connection, with the same credentials, retries and errors.
package rs3gw
