// The handler that every SDK of sandsock is held to, in Go.
package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"sandsock"
)

// The longest line that is read.
const limit = 1 << 20

// Conformance does what the first line of its client says.
type Conformance struct {
	line    string
	nothing bool
}

// Setup reads the first line.
func (c *Conformance) Setup(r *sandsock.Request) error {
	line, err := r.ReadLine(limit)
	if err == io.EOF {
		c.nothing = true
		return nil
	}
	if err != nil {
		return err
	}
	if line == "refuse" {
		return errors.New("refused in setup")
	}
	c.line = line
	return nil
}

// Handle does what the line says.
func (c *Conformance) Handle(r *sandsock.Request) error {
	order, rest, _ := strings.Cut(c.line, " ")
	switch {
	case c.nothing:
		return write(r, "empty\n")
	case c.line == "hello":
		name, err := line(r)
		if err != nil {
			return err
		}
		return write(r, "hello, "+name+"\n")
	case c.line == "echo":
		_, err := io.Copy(r.WFile, r.RFile)
		return err
	case c.line == "lines":
		return lines(r)
	case c.line == "mixed":
		return mixed(r)
	case order == "timeout":
		return timeout(r, rest)
	case c.line == "datagrams":
		for _, reply := range []string{"one", "two"} {
			if err := write(r, reply); err != nil {
				return err
			}
			if err := r.WFile.Flush(); err != nil {
				return err
			}
		}
		return nil
	case c.line == "about":
		_, err := fmt.Fprintf(r.WFile, "%s\n%s\n%s\n%d\n",
			r.ClientAddress(), r.ServerAddress(), r.Transport(), r.ID())
		return err
	case c.line == "random":
		return write(r, fmt.Sprintln(rand.Uint64()))
	case order == "print":
		fmt.Println(rest)
		return write(r, "printed\n")
	case c.line == "pour":
		for {
			if err := write(r, strings.Repeat("x", 64*1024)); err != nil {
				return err
			}
		}
	case c.line == "steps":
		return write(r, "handle\n")
	case order == "fail":
		if err := write(r, "before\n"); err != nil {
			return err
		}
		return errors.New(rest)
	case order == "crash":
		if err := write(r, "before\n"); err != nil {
			return err
		}
		panic(rest)
	}
	return fmt.Errorf("no such order: %s", c.line)
}

// Finish tells of itself if the line asked for that.
func (c *Conformance) Finish(r *sandsock.Request) error {
	if c.line == "steps" || strings.HasPrefix(c.line, "fail") || strings.HasPrefix(c.line, "crash") {
		return write(r, "finish\n")
	}
	return nil
}

func lines(r *sandsock.Request) error {
	for {
		line, err := r.ReadLine(limit)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if line == "quit" {
			return write(r, "bye\n")
		}
		if err := write(r, answer(line)); err != nil {
			return err
		}
	}
}

func answer(line string) string {
	if words := strings.Split(line, " "); len(words) == 3 && words[0] == "add" {
		a, errA := strconv.ParseInt(words[1], 10, 64)
		b, errB := strconv.ParseInt(words[2], 10, 64)
		if errA == nil && errB == nil {
			return fmt.Sprintf("%d\n", a+b)
		}
	}
	return fmt.Sprintf("error: what is `%s`?\n", line)
}

func mixed(r *sandsock.Request) error {
	three := make([]byte, 3)
	if _, err := io.ReadFull(r.RFile, three); err != nil {
		return err
	}
	line, err := line(r)
	if err != nil {
		return err
	}
	rest, err := io.ReadAll(r.RFile)
	if err != nil {
		return err
	}
	return write(r, fmt.Sprintf("[%s][%s][%s]", three, line, rest))
}

func timeout(r *sandsock.Request, duration string) error {
	milliseconds, err := strconv.Atoi(duration)
	if err != nil {
		return err
	}
	r.SetTimeout(time.Duration(milliseconds) * time.Millisecond)
	text, err := line(r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return write(r, "timed out\n")
	}
	if err != nil {
		return err
	}
	return write(r, "got "+text+"\n")
}

// line is the next one; at the end of input, an empty one.
func line(r *sandsock.Request) (string, error) {
	line, err := r.ReadLine(limit)
	if err == io.EOF {
		err = nil
	}
	return line, err
}

func write(r *sandsock.Request, text string) error {
	_, err := r.WFile.WriteString(text)
	return err
}

func init() { sandsock.Serve(&Conformance{}) }

func main() {}
