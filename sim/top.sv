// The simulated system: Eyas and its DRAM; the bench drives and reads the ports.
//
// Under Icarus every output of Eyas that means something must be known after reset; `unknown` is sticky until the next
// reset. unknown_checks.svh adds one `CHECK_KNOWN(enable, data) line for each signal inside Eyas to be watched as well.
`timescale 1ns / 1ps
module top #(
    parameter integer WORDS = 1 << 16
) (
    input  logic        clk  /*verilator public_flat_rw*/,
    input  logic        rst  /*verilator public_flat_rw*/,
    input  logic [31:0] words  /*verilator public_flat_rw*/,
    input  logic [31:0] job  /*verilator public_flat_rw*/,
    input  logic        load  /*verilator public_flat_rw*/,
    input  logic        dump  /*verilator public_flat_rw*/,
    input  logic [31:0] dump_base  /*verilator public_flat_rw*/,
    input  logic [31:0] dump_limit  /*verilator public_flat_rw*/,
    input  logic [11:0] csr__awaddr  /*verilator public_flat_rw*/,
    input  logic        csr__awvalid  /*verilator public_flat_rw*/,
    output logic        csr__awready  /*verilator public_flat_rd*/,
    input  logic [31:0] csr__wdata  /*verilator public_flat_rw*/,
    input  logic        csr__wvalid  /*verilator public_flat_rw*/,
    output logic        csr__wready  /*verilator public_flat_rd*/,
    output logic        csr__bvalid  /*verilator public_flat_rd*/,
    output logic [ 1:0] csr__bresp  /*verilator public_flat_rd*/,
    input  logic [11:0] csr__araddr  /*verilator public_flat_rw*/,
    input  logic        csr__arvalid  /*verilator public_flat_rw*/,
    output logic        csr__arready  /*verilator public_flat_rd*/,
    output logic [31:0] csr__rdata  /*verilator public_flat_rd*/,
    output logic [ 1:0] csr__rresp  /*verilator public_flat_rd*/,
    output logic        csr__rvalid  /*verilator public_flat_rd*/,
    output logic        interrupt  /*verilator public_flat_rd*/,
    output logic        violation  /*verilator public_flat_rd*/,
    output logic        unknown  /*verilator public_flat_rd*/
);
  wire [31:0] axi__araddr, axi__awaddr;
  wire [ 7:0] axi__arlen, axi__awlen, axi__wstrb;
  wire [ 2:0] axi__arsize, axi__awsize;
  wire [ 1:0] axi__arburst, axi__awburst, axi__rresp, axi__bresp;
  wire axi__arid, axi__arvalid, axi__arready, axi__rlast, axi__rid, axi__rvalid, axi__rready;
  wire axi__awid, axi__awvalid, axi__awready, axi__wlast, axi__wvalid, axi__wready, axi__bid, axi__bvalid, axi__bready;
  wire [63:0] axi__rdata, axi__wdata;

  eyas eyas (
      .csr__awprot(3'b0),
      .csr__wstrb(4'hf),
      .csr__bready(1'b1),
      .csr__arprot(3'b0),
      .csr__rready(1'b1),
      .*
  );
  dram #(.WORDS(WORDS)) dram (.*);

`ifdef __ICARUS__
  `define CHECK_KNOWN(enable, data) \
    if (^(enable) === 1'bx || ((enable) !== 0 && ^(data) === 1'bx)) report(`"data`");

  logic   armed = 0;
  integer i;

  always @(posedge clk) begin
    if (rst) begin
      armed <= 1;
      unknown <= 0;
    end else if (armed) begin
      `CHECK_KNOWN(1'b1, {interrupt, axi__arvalid, axi__rready, axi__awvalid, axi__wvalid, axi__bready})
      `CHECK_KNOWN(1'b1, {csr__awready, csr__wready, csr__bvalid, csr__arready, csr__rvalid})
      `CHECK_KNOWN(axi__arvalid, {axi__araddr, axi__arlen, axi__arsize, axi__arburst, axi__arid})
      `CHECK_KNOWN(axi__awvalid, {axi__awaddr, axi__awlen, axi__awsize, axi__awburst, axi__awid})
      `CHECK_KNOWN(axi__wvalid, {axi__wstrb, axi__wlast})
      for (i = 0; i < 8; i = i + 1) begin
        `CHECK_KNOWN(axi__wvalid && axi__wstrb[i], axi__wdata[8*i+:8])
      end
      `CHECK_KNOWN(csr__bvalid, csr__bresp)
      `CHECK_KNOWN(csr__rvalid, {csr__rdata, csr__rresp})
      `include "unknown_checks.svh"
    end
  end

  task report(input string signal);
    if (!unknown) $display("top: cycle %0d: unknown value in %0s", $time / 10, signal);
    unknown <= 1;
  endtask
`else
  assign unknown = 1'b0;
`endif
endmodule
