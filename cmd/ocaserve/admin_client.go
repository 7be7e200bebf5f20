package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// adminFlags are for commands that talk to a running server.
type adminFlags struct {
	Server string `placeholder:"NAME|PID|PATH" help:"Which running server: the name of its --admin socket, its process, or the socket's path. Not needed if there is one."`
}

// dial connects to the server that is meant.
func (f adminFlags) dial() (*net.UnixConn, error) {
	if strings.Contains(f.Server, "/") {
		return dialPath(f.Server)
	}
	all, err := findServers()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range all {
		if s.name == f.Server || strconv.Itoa(s.info.PID) == f.Server || f.Server == "" && len(all) == 1 {
			return dialPath(s.path)
		}
		names = append(names, s.String())
	}
	switch {
	case len(all) == 0:
		return nil, errors.New("no server of this user is running; start one with ocaserve serve DIR, or if it runs as another user, be that user or give --server PATH")
	case f.Server == "":
		return nil, usagef("%d servers are running; choose one with --server: %s", len(all), strings.Join(names, ", "))
	}
	return nil, usagef("no server is called %q; there are: %s", f.Server, strings.Join(names, ", "))
}

// dialPath turns what the system refuses into advice.
func dialPath(path string) (*net.UnixConn, error) {
	c, err := dialSocket(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: permission denied: the server runs as another user; be that user, or root", path)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s does not exist; it is what the server's --admin names", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%s: nobody listens; the server has ended", path)
	}
	return c, err
}

// A printable is an answer that a person can read.
type printable interface{ print(w io.Writer) error }

// ask puts a question with one answer, which goes into v, and prints that, or the JSON that it came in.
func (f adminFlags) ask(verb string, args any, v printable, asJSON bool, stdout io.Writer) error {
	c, err := f.dial()
	if err != nil {
		return err
	}
	return callAdmin(c, verb, args, func(b []byte) error {
		if asJSON {
			_, err := fmt.Fprintf(stdout, "%s\n", b)
			return err
		}
		if err := unmarshal(b, v); err != nil {
			return err
		}
		return v.print(stdout)
	})
}

// callAdmin sends a request and gives each line of data to take. It closes c.
func callAdmin(c *net.UnixConn, verb string, args any, take func([]byte) error) error {
	defer c.Close()
	if err := sendCall(c, verb, args); err != nil {
		return err
	}
	in := bufio.NewReader(c)
	for {
		_ = c.SetReadDeadline(time.Now().Add(3 * adminPatience))
		l, err := readLine(in)
		if err != nil || l.End {
			return err
		}
		if err := take(l.Data); err != nil {
			return err
		}
	}
}

func sendCall(c *net.UnixConn, verb string, args any) error {
	call := adminCall{Verb: verb}
	if args != nil {
		b, err := json.Marshal(args)
		if err != nil {
			return err
		}
		call.Args = b
	}
	b, err := json.Marshal(call)
	if err != nil {
		return err
	}
	_, err = c.Write(append(b, '\n'))
	return err
}

// readLine reads a line of the answer; an error that it tells of is returned.
func readLine(in *bufio.Reader) (l adminLine, err error) {
	b, err := in.ReadBytes('\n')
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return l, errors.New("the server does not answer")
	}
	if err == io.EOF {
		return l, errors.New("the server hung up before the end of its answer; it may be shutting down")
	}
	if err != nil {
		return l, err
	}
	if err := unmarshal(b, &l); err != nil {
		return l, err
	}
	if l.Error != "" {
		return l, errors.New(l.Error)
	}
	return l, nil
}

func unmarshal(b []byte, v any) error {
	if err := json.Unmarshal(bytes.TrimSpace(b), v); err != nil {
		return fmt.Errorf("the server's answer makes no sense, it may be of another version: %w", err)
	}
	return nil
}
