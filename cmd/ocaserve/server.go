package main

import (
	"context"
	"errors"
	"io"
)

// A server is everything that serves: link, stack, cache, catalogue, origin.
type server struct {
	why        string
	selfSigned string // path of the self-signed certificate, "" when the user brought one
}

var errUnwired = errors.New("serving is not wired yet")

func probeTun() error { return errUnwired }

func generateDemo(context.Context, string, io.Writer) (string, error) { return "", errUnwired }

func serve(context.Context, options, io.Writer) error { return errUnwired }

func (s *server) summary() string   { return "" }
func (s *server) linkLine() string  { return "" }
func (s *server) tlsLine() string   { return "" }
func (s *server) url(string) string { return "" }
