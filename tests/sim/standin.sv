// A stand-in for Eyas with the same ports. `start` copies program_commands words from program_address to window_base.
// Some values of program_commands ask for something else: report an error, never end, issue a read burst across 4 KiB,
// write an unknown value, only wait for window_limit cycles, or end a write burst too early.
module eyas (
    input  logic        clk,
    input  logic        rst,
    input  logic [11:0] csr__awaddr,
    input  logic [ 2:0] csr__awprot,
    input  logic        csr__awvalid,
    output logic        csr__awready,
    input  logic [31:0] csr__wdata,
    input  logic [ 3:0] csr__wstrb,
    input  logic        csr__wvalid,
    output logic        csr__wready,
    output logic [ 1:0] csr__bresp,
    output logic        csr__bvalid,
    input  logic        csr__bready,
    input  logic [11:0] csr__araddr,
    input  logic [ 2:0] csr__arprot,
    input  logic        csr__arvalid,
    output logic        csr__arready,
    output logic [31:0] csr__rdata,
    output logic [ 1:0] csr__rresp,
    output logic        csr__rvalid,
    input  logic        csr__rready,
    output logic [31:0] axi__araddr,
    output logic [ 7:0] axi__arlen,
    output logic [ 2:0] axi__arsize,
    output logic [ 1:0] axi__arburst,
    output logic [ 1:0] axi__arid,
    output logic        axi__arvalid,
    input  logic        axi__arready,
    input  logic [63:0] axi__rdata,
    input  logic [ 1:0] axi__rresp,
    input  logic        axi__rlast,
    input  logic [ 1:0] axi__rid,
    input  logic        axi__rvalid,
    output logic        axi__rready,
    output logic [31:0] axi__awaddr,
    output logic [ 7:0] axi__awlen,
    output logic [ 2:0] axi__awsize,
    output logic [ 1:0] axi__awburst,
    output logic        axi__awid,
    output logic        axi__awvalid,
    input  logic        axi__awready,
    output logic [63:0] axi__wdata,
    output logic [ 7:0] axi__wstrb,
    output logic        axi__wlast,
    output logic        axi__wvalid,
    input  logic        axi__wready,
    input  logic [ 1:0] axi__bresp,
    input  logic        axi__bid,
    input  logic        axi__bvalid,
    output logic        axi__bready,
    output logic        interrupt
);
  localparam logic [31:0] FAIL = 0, HANG = 255, CROSS = 254, UNKNOWN = 253, WAIT = 252, SHORT = 251;

  logic [31:0] address, mode, base, limit, error_code;
  logic [63:0] cycles, data[0:255];
  logic [ 7:0] beat;
  logic [ 1:0] raised, status;
  logic busy, reading, writing;
  wire  write = csr__awvalid && csr__wvalid && csr__awready;
  wire  start = write && csr__awaddr == 12'h08 && csr__wdata[0];
  wire  stop = write && csr__awaddr == 12'h08 && csr__wdata[1];
  wire [7:0] last = mode == CROSS ? 8'd3 : mode[7:0] - 8'd1;

  assign {csr__bresp, csr__rresp, axi__arid, axi__awid} = 0;
  always_comb {axi__arsize, axi__awsize, axi__arburst, axi__awburst} = {3'd3, 3'd3, 2'd1, 2'd1};
  assign {axi__rready, axi__bready, csr__arready} = 3'b111;
  assign csr__awready = csr__awvalid && csr__wvalid && !csr__bvalid;
  assign csr__wready = csr__awready;
  assign axi__araddr = mode == CROSS ? 32'hff8 : address;
  assign axi__awaddr = base;
  assign {axi__arlen, axi__awlen} = {last, last};
  assign axi__wvalid = writing;
  assign axi__wlast = beat == (mode == SHORT ? 0 : last);
  assign axi__wstrb = 8'hff;
  assign axi__wdata = mode == UNKNOWN && beat == 7 ? 64'h12xx : data[beat];
  assign interrupt = raised != 0;

  always @(posedge clk) begin
    csr__bvalid <= write;
    csr__rvalid <= csr__arvalid;
    case (csr__araddr)
      12'h00: csr__rdata <= 32'h53415945;
      12'h04: csr__rdata <= 1;
      12'h0c: csr__rdata <= {status, busy};
      12'h10: csr__rdata <= raised;
      12'h24: csr__rdata <= error_code;
      12'h28: csr__rdata <= 5;
      12'h2c: csr__rdata <= 32'h1234;
      12'h30: csr__rdata <= cycles[31:0];
      12'h34: csr__rdata <= cycles[63:32];
      default: csr__rdata <= 0;
    endcase
    if (write && csr__awaddr == 12'h10) raised <= raised & ~csr__wdata[1:0];
    if (write && csr__awaddr == 12'h14) address <= csr__wdata;
    if (write && csr__awaddr == 12'h18) mode <= csr__wdata;
    if (write && csr__awaddr == 12'h1c) base <= csr__wdata;
    if (write && csr__awaddr == 12'h20) limit <= csr__wdata;
    {axi__arvalid, axi__awvalid} <= 0;
    if (busy) cycles <= cycles + 1;
    if (start) begin
      {busy, cycles, beat, status, error_code} <= {1'b1, 64'd0, 8'd0, 2'd0, 32'd0};
      axi__arvalid <= mode != HANG && mode != WAIT && mode != FAIL;
      if (mode == FAIL) {busy, status, raised, error_code} <= {1'b0, 2'b10, 2'b10, 32'd2};
    end
    if (busy && mode == WAIT && cycles == limit) {busy, status, raised} <= {1'b0, 2'b01, 2'b01};
    if (axi__rvalid) begin
      data[beat] <= axi__rdata;
      beat <= axi__rlast ? 0 : beat + 1;
      {axi__awvalid, writing} <= {axi__rlast, axi__rlast};
    end
    if (writing && axi__wready) begin
      beat <= beat + 1;
      writing <= beat != last;
    end
    if (axi__bvalid) begin
      {busy, status, raised} <= axi__bresp == 0 ? {1'b0, 2'b01, 2'b01} : {1'b0, 2'b10, 2'b10};
      error_code <= axi__bresp == 0 ? 0 : 4;
    end
    if (stop) {busy, status, error_code} <= 0;
    if (rst)
      {csr__bvalid, csr__rvalid, address, mode, base, limit, cycles, beat, raised, status, error_code, busy, writing} <= 0;
  end
endmodule
