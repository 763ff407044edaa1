package term

import (
	"bytes"
	"io"
	"strings"
)

// A Growing is a table whose rows come one by one, so that nobody knows beforehand how wide its
// columns become: a column is as wide as it was begun, or as its widest cell so far. What fits and
// what is cut is as with [Table]: the last cell is cut on a terminal, a narrow one has records, and
// nothing is cut in a pipe or a file.
type Growing struct {
	to     io.Writer
	header []string
	widths []int
	rows   int
}

// mostGrown is how wide a column becomes at most: as wide as the longest id.
const mostGrown = 64

// NewGrowing begins a table. The header comes with the first row.
func NewGrowing(to io.Writer, header []string, widths []int) *Growing {
	return &Growing{to: to, header: header, widths: append([]int(nil), widths...)}
}

// Row is the text of the next row, to be written as it is, with whatever has to come before it.
func (g *Growing) Row(cells []string) []byte { return g.rowWithin(columnsOf(g.to), cells) }

func (g *Growing) rowWithin(columns int, cells []string) []byte {
	var out bytes.Buffer
	first := g.rows == 0
	g.rows++
	if columns > 0 && columns < leastTable {
		if !first {
			out.WriteByte('\n')
		}
		_ = records(&out, columns, g.header, [][]string{cells}) // a buffer takes everything
		return out.Bytes()
	}
	if first {
		g.line(&out, columns, g.header)
	}
	g.line(&out, columns, cells)
	return out.Bytes()
}

func (g *Growing) line(out *bytes.Buffer, columns int, cells []string) {
	var line strings.Builder
	used := 0
	for i, cell := range cells {
		cell = Safe(cell)
		if last := i == len(cells)-1; !last {
			g.widths[i] = max(g.widths[i], min(width(cell), mostGrown))
			if columns > 0 {
				cell = cut(cell, g.widths[i])
			}
			line.WriteString(" " + pad(cell, g.widths[i]) + " ")
			used += g.widths[i] + gap
			continue
		}
		if columns > 0 {
			cell = cut(cell, max(columns-used-gap, 1))
		}
		line.WriteString(" " + cell)
	}
	out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}
