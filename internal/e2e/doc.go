// Package e2e drives the built program with real clients, in a network namespace of its own.
//
//  1. [Binary] builds ocaserve once per test run.
//  2. [NewNamespace] makes a namespace with a loopback and nothing else; it is gone when the test ends.
//  3. [Start] runs the program in it and waits until it says that it serves.
//  4. Tests run curl, openssl, gnutls-cli, wrk and ffmpeg in the same namespace and check every byte.
//
// What needs privileges or a program that is not here skips with the reason; with OCASERVE_E2E=require a skip
// is a failure. OCASERVE_E2E_FULL=1 takes the sizes and durations of a release check: a 1 GiB file, 30 s of
// wrk, 10,000 idle connections.
package e2e
