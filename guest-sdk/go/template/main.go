// A request handler for sandsock.
package main

import (
	"fmt"

	"handler/sandsock"
)

// Hello answers a line with a greeting.
type Hello struct{}

// Handle serves one request.
func (*Hello) Handle(r *sandsock.Request) error {
	fmt.Println("connect from", r.ClientAddress())
	line, err := r.ReadLine(8192)
	if err != nil {
		return err
	}
	fmt.Println(line)
	_, err = r.WFile.WriteString("你好")
	return err
}

func init() { sandsock.Serve(&Hello{}) }

func main() {}
