package sandsock

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestLinesComeOneByOneHoweverTheClientCutsThem(t *testing.T) {
	for _, piece := range []int{0, 1, 2, 3, 5} {
		r := (&TestClient{Sends: "one\r\ntwo\n\nfour", PieceSize: piece}).Request()
		var lines []string
		for {
			line, err := r.ReadLine(100)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line)
		}
		if !slices.Equal(lines, []string{"one", "two", "", "four"}) {
			t.Errorf("in pieces of %d: %q", piece, lines)
		}
	}
}

func TestALineLongerThanTheBufferIsWhole(t *testing.T) {
	long := strings.Repeat("x", 3*bufferSize+1)
	r := (&TestClient{Sends: long + "\nnext\n", PieceSize: 1000}).Request()
	for _, want := range []string{long, "next"} {
		if line, err := r.ReadLine(1 << 20); err != nil || line != want {
			t.Errorf("%d bytes, %v", len(line), err)
		}
	}
}

func TestALineHasALimit(t *testing.T) {
	for _, piece := range []int{0, 1, 3} {
		r := (&TestClient{Sends: "12345\n123456", PieceSize: piece}).Request()
		for _, want := range []struct {
			line string
			err  error
		}{{"12345", nil}, {"123456", nil}, {"", io.EOF}} {
			if line, err := r.ReadLine(6); line != want.line || err != want.err {
				t.Errorf("in pieces of %d: %q, %v", piece, line, err)
			}
		}
		r = (&TestClient{Sends: "123456\n7\n", PieceSize: piece}).Request()
		if line, err := r.ReadLine(6); line != "123456" || err != ErrLineTooLong {
			t.Errorf("in pieces of %d: %q, %v", piece, line, err)
		}
		if line, err := r.ReadLine(6); line != "" || err != nil {
			t.Errorf("in pieces of %d: the rest is %q, %v", piece, line, err)
		}
	}
}

func TestWhatCameBeforeAnErrorCanBeRead(t *testing.T) {
	client := TestClient{Sends: "half a li", ReadError: os.ErrDeadlineExceeded}
	r := client.Request()
	line, err := r.ReadLine(100)
	if line != "half a li" || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%q, %v", line, err)
	}
	client.ReadError = nil
	if _, err := r.ReadLine(100); err != io.EOF {
		t.Errorf("tried again: %v", err)
	}
}

func TestSmallAndLargeReadsMayBeMixed(t *testing.T) {
	input := strings.Repeat("0123456789abcdefg", 3000)
	for _, piece := range []int{0, 1, 1000, 4096, 70_000} {
		r := (&TestClient{Sends: input, PieceSize: piece}).Request()
		var output []byte
		for i := 0; ; i++ {
			part := make([]byte, []int{1, 5000, 10, 4096, 4095, 0, 20_000}[i%7])
			n, err := r.RFile.Read(part)
			output = append(output, part[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if string(output) != input {
			t.Errorf("in pieces of %d: %d bytes differ from the input", piece, len(output))
		}
	}
}

func TestACopyIsWholeWhateverWasReadBefore(t *testing.T) {
	input := bytes.Repeat([]byte{0, 1, 2, 0xff, '\n'}, 100_000)
	for _, piece := range []int{0, 7, 4096, 5000} {
		client := TestClient{Sends: string(input), PieceSize: piece}
		r := client.Request()
		first, err := r.RFile.ReadByte()
		if err != nil || first != 0 {
			t.Fatal(first, err)
		}
		n, err := io.Copy(r.WFile, r.RFile)
		if err != nil || n != int64(len(input)-1) || client.Received() != string(input[1:]) {
			t.Errorf("in pieces of %d: %d bytes, %v", piece, n, err)
		}
	}
}

func TestACopyEndsWithTheErrorOfEitherSide(t *testing.T) {
	silent := (&TestClient{Sends: "abc", ReadError: os.ErrDeadlineExceeded}).Request()
	if n, err := io.Copy(silent.WFile, silent.RFile); n != 3 || err != os.ErrDeadlineExceeded {
		t.Errorf("%d, %v", n, err)
	}
	gone := (&TestClient{Sends: "abc", WriteError: syscall.EPIPE}).Request()
	if n, err := io.Copy(gone.WFile, gone.RFile); n != 0 || err != syscall.EPIPE {
		t.Errorf("%d, %v", n, err)
	}
}

func TestAStreamReceivesEachWriteWithoutAFlush(t *testing.T) {
	client := TestClient{}
	r := client.Request()
	fmt.Fprintf(r.WFile, "%d-%d", 1, 2)
	r.WFile.WriteString("-3")
	if client.Received() != "1-2-3" {
		t.Errorf("%q", client.Received())
	}
	r.WFile.Flush()
	if len(client.Datagrams()) != 0 {
		t.Errorf("%q", client.Datagrams())
	}
}

func TestAFlushSendsWhatWasWrittenSinceTheLastOne(t *testing.T) {
	for _, transport := range []Transport{UDP, UnixDatagram} {
		client := TestClient{Transport: transport}
		r := client.Request()
		r.WFile.Flush()
		for _, part := range []string{"one", " and"} {
			r.WFile.WriteString(part)
		}
		if len(client.Datagrams()) != 0 {
			t.Errorf("before the flush: %q", client.Datagrams())
		}
		r.WFile.Flush()
		r.WFile.WriteString("two")
		r.WFile.Flush()
		r.WFile.Flush()
		if !slices.Equal(client.Datagrams(), []string{"one and", "two"}) {
			t.Errorf("%q", client.Datagrams())
		}
	}
}

func TestAReplyLongerThanADatagramIsAnErrorThatSaysSo(t *testing.T) {
	client := TestClient{Transport: UDP}
	r := client.Request()
	if _, err := r.WFile.Write(make([]byte, longestDatagram)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.WFile.WriteString("x"); !errors.Is(err, ErrMessageTooLong) {
		t.Errorf("%v", err)
	}
	r.WFile.Flush()
	if datagrams := client.Datagrams(); len(datagrams) != 1 || len(datagrams[0]) != longestDatagram {
		t.Errorf("%d datagrams", len(datagrams))
	}
}

func TestAClientThatHasGoneTookWhatItTook(t *testing.T) {
	client := TestClient{Takes: 4, WriteError: syscall.EPIPE}
	r := client.Request()
	if n, err := r.WFile.WriteString("abc"); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := r.WFile.WriteString("def"); n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("%d, %v", n, err)
	}
	if client.Received() != "abcd" {
		t.Errorf("%q", client.Received())
	}
}

func TestAScannerReadsLines(t *testing.T) {
	r := (&TestClient{Sends: "one\ntwo", PieceSize: 1}).Request()
	var lines []string
	for scanner := bufio.NewScanner(r.RFile); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	if !slices.Equal(lines, []string{"one", "two"}) {
		t.Errorf("%q", lines)
	}
}
